use super::{Balance, Candidates};

/// Any endpoint, each as likely as its weight says.
#[derive(Clone, Copy, Debug, Default)]
pub struct WeightedRandom;

impl Balance for WeightedRandom {
    fn name(&self) -> &'static str {
        "weighted_random"
    }

    #[inline]
    fn choose(&self, among: &Candidates<'_>) -> Option<usize> {
        let roster = among.roster;
        let point = (among.random() * roster.total() as f64) as u64;
        let chosen = roster.sums.partition_point(|sum| *sum <= point);
        if chosen < roster.nodes.len() && among.is_usable(chosen) {
            return Some(chosen);
        }
        among.at_share(among.random())
    }
}
