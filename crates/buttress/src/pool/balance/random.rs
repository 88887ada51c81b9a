use super::{Balance, Candidates};

/// Any endpoint, each as likely as the next, whatever its weight.
///
/// It knows nothing of how the endpoints do, so it suits those that are alike; and it needs no memory, so many
/// replicas of it do not fall into step.
#[derive(Clone, Copy, Debug, Default)]
pub struct Random;

impl Balance for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    #[inline]
    fn choose(&self, among: &Candidates<'_>) -> Option<usize> {
        among.draw_usable(None)
    }
}
