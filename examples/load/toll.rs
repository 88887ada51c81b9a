//! What became of the requests.

use std::{collections::BTreeMap, fmt, time::Duration};

use crate::connection::End;

#[derive(Clone, Debug, Default)]
pub(crate) struct Toll {
    pub(crate) sent: u64,
    by_status: BTreeMap<u16, u64>,
    cut: u64,
    unanswered: u64,
    took: Vec<Duration>,
    lasted: Duration,
}

impl Toll {
    pub(crate) fn note(&mut self, end: End, took: Duration) {
        self.sent += 1;
        self.took.push(took);
        match end {
            End::Answered(status) => *self.by_status.entry(status).or_default() += 1,
            // A refusal that breaks off is no less lost.
            End::Cut(status @ 500..) => *self.by_status.entry(status).or_default() += 1,
            End::Cut(_) => self.cut += 1,
            End::Unanswered => self.unanswered += 1,
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.sent += other.sent;
        for (status, n) in other.by_status {
            *self.by_status.entry(status).or_default() += n;
        }
        self.cut += other.cut;
        self.unanswered += other.unanswered;
        self.took.extend(other.took);
    }

    pub(crate) fn close(&mut self, lasted: Duration) {
        self.lasted = lasted;
        self.took.sort_unstable();
    }

    /// Those whose answer never began, or was a 5xx.
    pub(crate) fn lost(&self) -> u64 {
        self.unanswered + self.by_status.range(500..).map(|(_, n)| n).sum::<u64>()
    }

    pub(crate) fn adds_up(&self) -> bool {
        self.sent == self.unanswered + self.cut + self.by_status.values().sum::<u64>()
    }

    fn at(&self, quantile: f64) -> Duration {
        let last = self.took.len().saturating_sub(1);
        self.took
            .get((last as f64 * quantile).round() as usize)
            .copied()
            .unwrap_or_default()
    }

    fn rate(&self) -> f64 {
        self.sent as f64 / self.lasted.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        let millis = |quantile| self.at(quantile).as_secs_f64() * 1000.0;
        serde_json::json!({
            "sent": self.sent,
            "status": self.by_status.iter().map(|(s, n)| (s.to_string(), *n)).collect::<BTreeMap<_, _>>(),
            "unanswered": self.unanswered,
            "lost": self.lost(),
            "cut": self.cut,
            "rate": self.rate(),
            "p50": millis(0.5),
            "p99": millis(0.99),
            "max": millis(1.0),
        })
    }
}

impl fmt::Display for Toll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "sent        {:>8}   {:.0} a second", self.sent, self.rate())?;
        for (status, n) in &self.by_status {
            writeln!(f, "status {status}  {n:>8}")?;
        }
        writeln!(f, "unanswered  {:>8}", self.unanswered)?;
        writeln!(f, "lost        {:>8}   unanswered, or a 5xx", self.lost())?;
        writeln!(f, "cut         {:>8}   in the middle of an answer", self.cut)?;
        let [p50, p99, max] = [0.5, 0.99, 1.0].map(|q| self.at(q));
        writeln!(
            f,
            "took        {p50:.1?} in the middle, {p99:.1?} at p99, {max:.1?} at most"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_is_counted_once_and_a_refusal_is_a_loss() {
        let mut toll = Toll::default();
        for end in [
            End::Answered(200),
            End::Answered(404),
            End::Answered(503),
            End::Cut(200),
            End::Cut(502),
            End::Unanswered,
        ] {
            toll.note(end, Duration::from_millis(toll.sent));
        }
        toll.close(Duration::from_secs(2));
        assert!(toll.adds_up());
        assert_eq!((toll.sent, toll.lost(), toll.cut), (6, 3, 1));
        assert_eq!(
            (toll.at(0.0), toll.at(1.0)),
            (Duration::ZERO, Duration::from_millis(5))
        );
        assert_eq!(toll.json()["status"]["200"], 1);
    }
}
