//! The table at the end: six parties have counted the same calls, and must agree.

use buttress::value::{Table, Value};

use super::{load::Tally, upstream::Seen};
use crate::config::FRONT;

/// Who has counted.
const PARTIES: [&str; 6] = ["callers", "gateway", "upstream", "retry", "breaker", "server"];

/// Numbers that must be the same.
#[derive(Debug)]
struct Row {
    what: &'static str,
    /// In the order of the parties; `None` where one cannot know.
    counts: [Option<u64>; 6],
}

impl Row {
    fn agrees(&self) -> bool {
        let mut known = self.counts.iter().flatten();
        match known.next() {
            Some(first) => known.all(|count| count == first),
            None => false,
        }
    }
}

/// What everybody has counted.
#[derive(Debug)]
pub(crate) struct Ledger {
    rows: Vec<Row>,
    statements: Vec<(String, bool)>,
}

impl Ledger {
    /// Puts side by side what the callers say, `/state`, what the upstream's server says, and how often it was told
    /// that the breaker opened.
    pub(crate) fn new(callers: Tally, state: &Table, server: Seen, opened: u64) -> Self {
        let state = Value::Table(state.clone());
        let read = |path: &[&str]| state.at(path).and_then(Value::as_u64);
        let gateway = |way| read(&[FRONT, "outcomes", way]);
        let upstream = |way| read(&["upstream", "outcomes", way]);
        let retry = |count| read(&["upstream", "retry", count]);
        let breaker = |count| read(&["upstream", "circuitBreaker", count]);
        // A number that is missing must not agree with anything.
        let known = |count: Option<u64>| count.or(Some(u64::MAX));
        let sum = |counts: &[Option<u64>]| known(counts.iter().copied().sum());
        let verdicts = [
            breaker("successCalls"),
            breaker("failureCalls"),
            breaker("throttledCalls"),
            breaker("neutralCalls"),
            breaker("cancelledCalls"),
            breaker("staleCalls"),
        ];
        let not_repeated = [
            retry("outOfAttempts"),
            retry("outOfTime"),
            retry("outOfBudget"),
            retry("forbidden"),
            retry("notRepeatable"),
        ];
        let worth_another = [&not_repeated[..], &[retry("retries")]].concat();
        let row = |what, counts| Row { what, counts };
        let rows = vec![
            row(
                "calls in all",
                [
                    Some(callers.begun),
                    known(read(&[FRONT, "requests"])),
                    known(read(&["upstream", "requests"])),
                    known(retry("calls")),
                    None,
                    None,
                ],
            ),
            row(
                "  answered well (200)",
                [
                    Some(callers.well),
                    known(gateway("success")),
                    known(upstream("success")),
                    None,
                    None,
                    Some(server.well),
                ],
            ),
            row(
                "  not there (404)",
                [
                    Some(callers.missing),
                    known(gateway("neutral")),
                    known(upstream("neutral")),
                    None,
                    None,
                    Some(server.missing),
                ],
            ),
            row(
                "  failed",
                [
                    Some(callers.failures()),
                    known(gateway("failure")),
                    known(upstream("failure")),
                    None,
                    None,
                    Some(server.failed + callers.unavailable + callers.unreached),
                ],
            ),
            row(
                "    by a 500 of the server",
                [Some(callers.failed), None, None, None, None, Some(server.failed)],
            ),
            row(
                "  not answered in time (504)",
                [
                    Some(callers.timed_out),
                    known(gateway("timedOut")),
                    known(upstream("timedOut")),
                    None,
                    None,
                    None,
                ],
            ),
            row(
                "  hung up by the caller",
                [
                    Some(callers.gave_up),
                    known(gateway("cancelled")),
                    known(upstream("cancelled")),
                    None,
                    known(breaker("cancelledCalls")),
                    Some(server.endless),
                ],
            ),
            row(
                "  refused by the breaker (503)",
                [
                    Some(callers.refused),
                    known(gateway("rejected")),
                    known(upstream("rejected")),
                    None,
                    known(breaker("rejectedCalls")),
                    None,
                ],
            ),
            row(
                "attempts at them",
                [
                    None,
                    None,
                    None,
                    known(retry("attempts")),
                    known(breaker("totalCalls")),
                    Some(server.all + callers.unreached + callers.refused),
                ],
            ),
            row(
                "  let through by the breaker",
                [
                    None,
                    None,
                    None,
                    retry("attempts").map(|all| all - callers.refused),
                    sum(&verdicts),
                    Some(server.all + callers.unreached),
                ],
            ),
            row(
                "  cut off: no answer in 750 ms",
                [
                    None,
                    None,
                    known(read(&["upstream", "timeout", "timedOut"])),
                    None,
                    None,
                    Some(server.silent),
                ],
            ),
            row(
                "  worth another (503, cut off)",
                [
                    None,
                    None,
                    None,
                    sum(&worth_another),
                    None,
                    Some(server.flaky + server.silent),
                ],
            ),
            row(
                "    that got none",
                [
                    Some(callers.unavailable + callers.timed_out),
                    None,
                    None,
                    sum(&not_repeated),
                    None,
                    None,
                ],
            ),
            row(
                "  well, and not the first",
                [
                    None,
                    None,
                    None,
                    known(retry("recovered")),
                    None,
                    Some(server.well_again),
                ],
            ),
            row(
                "times the breaker opened",
                [
                    Some(opened),
                    None,
                    None,
                    None,
                    known(breaker("timesOpened")),
                    None,
                ],
            ),
            row(
                "in flight, panicked, unexpected",
                [
                    Some(callers.unexpected),
                    sum(&[read(&[FRONT, "inFlight"]), gateway("panicked")]),
                    sum(&[read(&["upstream", "inFlight"]), upstream("panicked")]),
                    None,
                    None,
                    None,
                ],
            ),
        ];
        let errors = callers.failures() + callers.timed_out + callers.refused;
        let rate = callers.well as f64 / (callers.well + errors) as f64;
        // What JSON says of a fraction may differ in its last digit.
        let said = state
            .at(&[FRONT, "successRate"])
            .and_then(Value::as_f64)
            .unwrap_or(-1.0);
        let statements = vec![
            (
                format!("`{FRONT}`: errors are what failed, came too late or was refused, {errors}"),
                read(&[FRONT, "errors"]) == Some(errors),
            ),
            (
                format!("`{FRONT}`: the success rate is {rate:.6}"),
                (said - rate).abs() < 1e-12,
            ),
            (
                "everything was seen that can happen to a call, and to an attempt".to_owned(),
                [
                    server.flaky,
                    server.silent,
                    server.well_again,
                    callers.well,
                    callers.missing,
                    callers.failed,
                    callers.unreached,
                    callers.refused,
                    callers.gave_up,
                ]
                .iter()
                .all(|count| *count > 0),
            ),
        ];
        Self { rows, statements }
    }

    /// Adds what must have come true besides.
    pub(crate) fn state(&mut self, statement: String, true_: bool) {
        self.statements.push((statement, true_));
    }

    /// Whether all agree.
    pub(crate) fn adds_up(&self) -> bool {
        self.rows.iter().all(Row::agrees) && self.statements.iter().all(|(_, true_)| *true_)
    }

    /// Shows it.
    pub(crate) fn print(&self) {
        print!("{:<34}", "");
        PARTIES.iter().for_each(|party| print!("{party:>10}"));
        println!();
        for row in &self.rows {
            print!("{:<34}", row.what);
            for count in row.counts {
                match count {
                    Some(u64::MAX) => print!("{:>10}", "?"),
                    Some(count) => print!("{count:>10}"),
                    None => print!("{:>10}", "·"),
                }
            }
            println!("  {}", mark(row.agrees()));
        }
        println!();
        for (statement, true_) in &self.statements {
            println!("  {} {statement}", mark(*true_));
        }
    }
}

fn mark(good: bool) -> &'static str {
    if good { "✓" } else { "✗ DIFFERS" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wrong_number_is_noticed() {
        let row = |counts| Row {
            what: "calls",
            counts,
        };
        assert!(row([Some(1), Some(1), None, None, None, Some(1)]).agrees());
        assert!(!row([Some(1), Some(1), None, None, None, Some(2)]).agrees());
        assert!(!row([None; 6]).agrees());
    }

    #[test]
    fn a_state_that_says_nothing_does_not_add_up() {
        let ledger = Ledger::new(Tally::default(), &Table::new(), Seen::default(), 0);
        assert!(ledger.rows.iter().filter(|row| !row.agrees()).count() >= 13);
    }
}
