//! What is made of the calls of a run.

use std::time::Duration;

use super::{CRITICAL, Call, SLOTS};

/// A call that is over. Moments are counted from the beginning of the run.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// The call.
    pub call: Call,
    /// When it came.
    pub came: Duration,
    /// When it was over.
    pub ended: Duration,
    /// How.
    pub end: End,
}

/// How a call ended.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// With the answer.
    Answered,
    /// With a no.
    Refused {
        /// Whether it was told when to come back.
        retry_after: bool,
        /// Of a call that was refused as soon as it came, how long that took, in real time.
        at_once: Option<Duration>,
    },
    /// The caller hung up.
    GaveUp,
}

/// What part of a run counts: the rest is to fill the line, and to empty it.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// From here.
    pub from: Duration,
    /// To here.
    pub to: Duration,
}

/// The figures of a run.
#[derive(Clone, Debug)]
pub struct Figures {
    /// The 99th percentile of a `Critical` call that was answered, in milliseconds.
    pub critical_p99: f64,
    /// Which share of each class was answered.
    pub answered: [f64; 5],
    /// Which share of what all slots could have done was work for somebody who still waited for it.
    pub goodput: f64,
    /// Which share of the calls was refused as soon as they came.
    pub refused_at_once: f64,
    /// How long that took, in microseconds: the median, and the 99th percentile.
    pub refusal: [f64; 2],
    /// Which share of the refused was told when to come back.
    pub retry_after: f64,
    /// Which share of the calls was not answered before the caller hung up.
    pub gave_up: f64,
}

impl Figures {
    /// Those of the calls in the window.
    #[must_use]
    pub fn of(calls: &[Ended], window: Window) -> Self {
        let within = |at: Duration| (window.from..window.to).contains(&at);
        let came: Vec<&Ended> = calls.iter().filter(|call| within(call.came)).collect();
        let count = |of: &dyn Fn(&Ended) -> bool| came.iter().filter(|call| of(call)).count() as f64;
        let share = |part: f64, of: f64| if of > 0.0 { part / of } else { f64::NAN };
        let is_answered = |call: &Ended| matches!(call.end, End::Answered);
        let critical = |call: &&&Ended| call.call.class == CRITICAL && is_answered(call);
        let latencies = came.iter().filter(critical);
        let work = calls
            .iter()
            .filter(|call| is_answered(call) && within(call.ended));
        let refusals: Vec<f64> = came
            .iter()
            .filter_map(|call| match call.end {
                End::Refused { at_once, .. } => at_once,
                _ => None,
            })
            .map(|time| time.as_secs_f64() * 1e6)
            .collect();
        let all = came.len() as f64;
        let refused = count(&|call| matches!(call.end, End::Refused { .. }));
        let told = count(&|call| {
            matches!(
                call.end,
                End::Refused {
                    retry_after: true,
                    ..
                }
            )
        });
        Self {
            critical_p99: quantile(
                latencies
                    .map(|call| (call.ended - call.came).as_secs_f64() * 1e3)
                    .collect(),
                0.99,
            ),
            answered: std::array::from_fn(|class| {
                let of_class = count(&|call| call.call.class == class);
                share(
                    count(&|call| call.call.class == class && is_answered(call)),
                    of_class,
                )
            }),
            goodput: work.map(|call| call.call.time).sum::<Duration>().as_secs_f64()
                / (window.to - window.from).as_secs_f64()
                / f64::from(SLOTS),
            refused_at_once: share(refusals.len() as f64, all),
            refusal: [0.5, 0.99].map(|q| quantile(refusals.clone(), q)),
            retry_after: share(told, refused),
            gave_up: share(count(&|call| matches!(call.end, End::GaveUp)), all),
        }
    }

    /// Of each figure the median of the runs.
    #[must_use]
    pub fn median(runs: &[Self]) -> Self {
        let of = |figure: &dyn Fn(&Self) -> f64| quantile(runs.iter().map(figure).collect(), 0.5);
        Self {
            critical_p99: of(&|run| run.critical_p99),
            answered: std::array::from_fn(|class| of(&|run| run.answered[class])),
            goodput: of(&|run| run.goodput),
            refused_at_once: of(&|run| run.refused_at_once),
            refusal: std::array::from_fn(|q| of(&|run| run.refusal[q])),
            retry_after: of(&|run| run.retry_after),
            gave_up: of(&|run| run.gave_up),
        }
    }
}

/// Of those that are numbers.
fn quantile(mut values: Vec<f64>, q: f64) -> f64 {
    values.retain(|value| value.is_finite());
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values
        .get((q * last as f64).round() as usize)
        .copied()
        .unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_in_the_window_counts_and_only_answers_are_goodput() {
        let at = Duration::from_millis;
        let call = |came, ended, end| Ended {
            call: Call {
                class: CRITICAL,
                time: at(20),
            },
            came: at(came),
            ended: at(ended),
            end,
        };
        let at_once = Some(Duration::from_micros(3));
        let figures = Figures::of(
            &[
                call(50, 120, End::Answered),
                call(110, 140, End::Answered),
                call(
                    150,
                    150,
                    End::Refused {
                        retry_after: true,
                        at_once,
                    },
                ),
                call(160, 260, End::GaveUp),
                call(190, 210, End::Answered),
            ],
            Window {
                from: at(100),
                to: at(200),
            },
        );
        assert_eq!(figures.critical_p99, 30.0);
        assert_eq!(figures.answered[CRITICAL], 0.5);
        assert!(
            (figures.goodput - 0.040 / 0.1 / 32.0).abs() < 1e-9,
            "two ended within it"
        );
        assert_eq!(
            (figures.refused_at_once, figures.gave_up, figures.retry_after),
            (0.25, 0.25, 1.0)
        );
        assert_eq!(figures.refusal, [3.0, 3.0]);
        assert!(figures.answered[0].is_nan());
    }
}
