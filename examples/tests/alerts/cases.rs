//! What the metrics look like when something is wrong, and when nothing is.

use crate::{
    STEP,
    promql::{self, Labels},
};

/// Series, and what fires when they are looked at.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) series: Vec<Series>,
    pub(crate) looks: Vec<Look>,
}

pub(crate) struct Look {
    /// Seconds.
    pub(crate) at: u32,
    pub(crate) alerts: Vec<Alert>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Alert {
    pub(crate) name: String,
    /// Without the severity, which is the rule's.
    pub(crate) labels: Labels,
    pub(crate) summary: String,
}

/// One series: samples that go up by as much each time, and then by as much, and so on.
pub(crate) struct Series {
    name: &'static str,
    labels: Vec<(&'static str, &'static str)>,
    first: f64,
    /// Each a growth and how many times.
    runs: Vec<(f64, u32)>,
}

impl Series {
    fn new(name: &'static str, labels: &[(&'static str, &'static str)], first: f64) -> Self {
        let from = [("job", "shop"), ("instance", "a:9090")];
        Self {
            name,
            labels: from.iter().chain(labels).copied().collect(),
            first,
            runs: Vec::new(),
        }
    }

    /// By so much more each time, for so many minutes.
    fn grows(mut self, by: f64, minutes: u32) -> Self {
        self.runs.push((by, minutes * 60 / STEP));
        self
    }

    fn stays(self, minutes: u32) -> Self {
        self.grows(0.0, minutes)
    }

    /// With its labels, as a query has them.
    pub(crate) fn selector(&self) -> String {
        let labels: Vec<_> = self.labels.iter().map(|(k, v)| format!("{k}=\"{v}\"")).collect();
        format!("{}{{{}}}", self.name, labels.join(","))
    }

    /// As promtool has them: `0+10x40` are forty-one.
    pub(crate) fn values(&self) -> String {
        let mut from = self.first;
        let mut texts = Vec::new();
        for (at, (by, times)) in self.runs.iter().enumerate() {
            // The first value of a run follows on the last of the one before.
            let (start, times) = if at == 0 {
                (from, *times)
            } else {
                (from + by, times - 1)
            };
            texts.push(format!("{start}{by:+}x{times}"));
            from = start + by * f64::from(times);
        }
        texts.join(" ")
    }

    pub(crate) fn samples(&self) -> promql::Series {
        let mut value = self.first;
        let mut values = vec![value];
        for (by, times) in &self.runs {
            for _ in 0..*times {
                value += by;
                values.push(value);
            }
        }
        let name = [("__name__".to_owned(), self.name.to_owned())];
        let labels = self
            .labels
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        promql::Series {
            labels: name.into_iter().chain(labels).collect(),
            samples: (0..).map(|n| f64::from(n * STEP)).zip(values).collect(),
        }
    }
}

fn alert(name: &str, labels: &[(&str, &str)], summary: &str) -> Alert {
    let labels = [("job", "shop")].iter().chain(labels);
    Alert {
        name: name.to_owned(),
        labels: labels.map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        summary: summary.to_owned(),
    }
}

fn look(minutes: u32, seconds: u32, alerts: impl IntoIterator<Item = Alert>) -> Look {
    Look {
        at: minutes * 60 + seconds,
        alerts: alerts.into_iter().collect(),
    }
}

// ===== series =====

const OUTCOMES: [&str; 7] = [
    "success",
    "failure",
    "neutral",
    "rejected",
    "timed_out",
    "cancelled",
    "panicked",
];

/// The calls of a stack for half an hour, so many each time of each outcome; all the seven are always there.
fn calls(of: &[(&'static str, f64)]) -> Vec<Series> {
    let rate = |outcome| {
        of.iter()
            .find(|(o, _)| *o == outcome)
            .map_or(0.0, |(_, rate)| *rate)
    };
    let stack = ("stack", "payments");
    let mut all: Vec<_> = OUTCOMES
        .map(|outcome| {
            let labels = [stack, ("outcome", outcome)];
            Series::new("buttress_requests_total", &labels, 0.0).grows(rate(outcome), 30)
        })
        .into();
    let errors = ["failure", "rejected", "timed_out", "panicked"].map(rate);
    all.push(Series::new("buttress_request_errors_total", &[stack], 0.0).grows(errors.iter().sum(), 30));
    all
}

/// So many answers each time, which took so many seconds together.
fn durations(count: f64, sum: f64) -> Vec<Series> {
    let one = |name, by| Series::new(name, &[("stack", "payments")], 0.0).grows(by, 30);
    vec![
        one("buttress_request_duration_seconds_count", count),
        one("buttress_request_duration_seconds_sum", sum),
    ]
}

const STATES: [&str; 6] = [
    "closed",
    "open",
    "half_open",
    "forced_open",
    "disabled",
    "metrics_only",
];

/// A breaker that is in each of these states for so many minutes.
fn breaker(times: &[(&'static str, u32)]) -> Vec<Series> {
    let is = |is: bool| if is { 1.0 } else { 0.0 };
    let mut all = Vec::new();
    for state in STATES {
        let labels = [("name", "payments"), ("state", state)];
        let (first, _) = times[0];
        let mut was = is(first == state);
        let mut series = Series::new("buttress_circuit_breaker_state", &labels, was);
        for (now, minutes) in times {
            let now = is(*now == state);
            // The change itself is one sample.
            if now == was {
                series = series.stays(*minutes);
            } else {
                series.runs.push((now - was, 1));
                series.runs.push((0.0, minutes * 60 / STEP - 1));
            }
            was = now;
        }
        all.push(series);
    }
    all
}

fn named(name: &'static str, label: (&'static str, &'static str), first: f64) -> Series {
    Series::new(name, &[("name", "payments"), label], first)
}

// ===== cases =====

const STACK: (&str, &str) = ("stack", "payments");
const NAME: (&str, &str) = ("name", "payments");
const ENDPOINT: (&str, &str) = ("endpoint", "east");
const INSTANCE: (&str, &str) = ("instance", "a:9090");

pub(crate) fn cases() -> Vec<Case> {
    let low = |percent| {
        let summary = format!("payments: {percent} of the calls succeed");
        alert("ButtressSuccessRateLow", &[STACK], &summary)
    };
    let critical = |percent| {
        let summary = format!("payments: {percent} of the calls succeed");
        alert("ButtressSuccessRateCritical", &[STACK], &summary)
    };
    let slow = |long| {
        let summary = format!("payments: {long} on average until the headers");
        alert("ButtressLatencyHigh", &[STACK], &summary)
    };
    let open = || {
        let summary = "payments: the circuit is open on a:9090";
        alert("ButtressCircuitOpen", &[NAME, INSTANCE], summary)
    };
    let keyed = |keys| {
        let summary = format!("payments: the circuits of {keys} keys are open on a:9090");
        alert("ButtressKeyedCircuitOpen", &[NAME, INSTANCE], &summary)
    };
    let forced = || {
        let summary = "payments: the circuit has been forced open on a:9090 for half an hour";
        alert("ButtressCircuitForcedOpen", &[NAME, INSTANCE], summary)
    };
    let panics = || alert("ButtressPanics", &[NAME], "payments: a panic was caught");
    let budget = || {
        let summary = "payments: more fails than may be retried";
        alert("ButtressRetryBudgetExhausted", &[NAME], summary)
    };
    let full = || {
        let summary = "payments: more comes than the queue can hold";
        alert("ButtressQueueFull", &[NAME], summary)
    };
    let keys = || {
        let summary = "payments: there are more keys than the rate limit has room for";
        alert("ButtressRateLimitKeysFull", &[NAME], summary)
    };
    let none = || {
        let summary = "payments: no endpoint is available on a:9090";
        alert("ButtressNoEndpoint", &[NAME, INSTANCE], summary)
    };
    let out = |long| {
        let summary = format!("payments: east has been out for {long} on a:9090");
        alert("ButtressEndpointOut", &[NAME, ENDPOINT, INSTANCE], &summary)
    };
    vec![
        Case {
            name: "all is well",
            series: [
                // Whoever asks for what there is not, or goes away, says nothing about the service.
                calls(&[
                    ("success", 91.0),
                    ("failure", 9.0),
                    ("neutral", 50.0),
                    ("cancelled", 50.0),
                ]),
                durations(200.0, 40.0),
                breaker(&[("closed", 30)]),
                vec![
                    named("buttress_keyed_circuit_breaker_keys", ("state", "closed"), 500.0).stays(30),
                    named("buttress_keyed_circuit_breaker_keys", ("state", "open"), 0.0).stays(30),
                    named("buttress_panics_total", ("place", "future"), 3.0).stays(30),
                    named("buttress_retry_given_up_total", ("reason", "out_of_budget"), 7.0).stays(30),
                    named(
                        "buttress_retry_given_up_total",
                        ("reason", "out_of_attempts"),
                        0.0,
                    )
                    .grows(2.0, 30),
                    named("buttress_priority_rejected_total", ("reason", "shed"), 0.0).grows(2.0, 30),
                    Series::new("buttress_rate_limit_overflowed_total", &[NAME], 7.0).stays(30),
                    Series::new("buttress_pool_usable_endpoints", &[NAME], 1.0).stays(30),
                    named("buttress_pool_endpoint_failed_for_seconds", ENDPOINT, 0.0).grows(5.0, 1),
                ],
            ]
            .into_iter()
            .flatten()
            .collect(),
            looks: vec![look(1, 0, []), look(10, 0, []), look(30, 0, [])],
        },
        Case {
            name: "nobody calls",
            series: [calls(&[]), durations(0.0, 0.0)].into_iter().flatten().collect(),
            looks: vec![look(10, 0, []), look(30, 0, [])],
        },
        Case {
            name: "89 of a hundred calls succeed",
            series: calls(&[("success", 89.0), ("failure", 6.0), ("timed_out", 5.0)]),
            // The first rate is there with the second sample.
            looks: vec![
                look(5, 0, []),
                look(5, 15, [low("89%")]),
                look(20, 0, [low("89%")]),
            ],
        },
        Case {
            name: "81 of a hundred calls succeed",
            series: calls(&[("success", 81.0), ("failure", 19.0)]),
            looks: vec![look(20, 0, [low("81%")])],
        },
        Case {
            name: "79 of a hundred calls succeed",
            series: calls(&[("success", 79.0), ("rejected", 20.0), ("panicked", 1.0)]),
            looks: vec![
                look(2, 0, []),
                look(2, 15, [critical("79%")]),
                look(10, 0, [low("79%"), critical("79%")]),
            ],
        },
        Case {
            name: "no call succeeds",
            series: calls(&[("failure", 1.0)]),
            looks: vec![look(10, 0, [low("0%"), critical("0%")])],
        },
        Case {
            name: "answers take six and a half seconds",
            series: durations(2.0, 13.0),
            looks: vec![
                look(5, 0, []),
                look(5, 15, [slow("6.5s")]),
                look(30, 0, [slow("6.5s")]),
            ],
        },
        Case {
            name: "answers take a minute and a half",
            series: durations(1.0, 90.0),
            looks: vec![look(6, 0, [slow("1m 30s")])],
        },
        Case {
            name: "answers take a little less than five seconds",
            series: durations(10.0, 49.0),
            looks: vec![look(30, 0, [])],
        },
        Case {
            name: "a circuit opens and recovers",
            series: breaker(&[("closed", 5), ("open", 2), ("half_open", 1), ("closed", 10)]),
            looks: vec![
                look(5, 0, []),
                look(6, 0, []),
                look(6, 15, [open()]),
                // It is remembered for two minutes, so that one that only probes now and then is not forgotten.
                look(9, 0, [open()]),
                look(9, 15, []),
                look(15, 0, []),
            ],
        },
        Case {
            name: "a circuit opens again and again",
            series: breaker(&[
                ("closed", 1),
                ("open", 1),
                ("half_open", 1),
                ("open", 1),
                ("half_open", 1),
                ("open", 1),
            ]),
            looks: vec![look(3, 0, [open()]), look(5, 0, [open()]), look(6, 0, [open()])],
        },
        Case {
            name: "the circuits of two keys open, and recover",
            series: vec![
                named("buttress_keyed_circuit_breaker_keys", ("state", "closed"), 7.0).stays(20),
                named("buttress_keyed_circuit_breaker_keys", ("state", "open"), 0.0)
                    .stays(5)
                    .grows(0.5, 1)
                    .stays(5)
                    .grows(-0.5, 1)
                    .stays(10),
            ],
            looks: vec![
                look(5, 0, []),
                look(6, 0, []),
                look(6, 15, [keyed(2)]),
                look(12, 0, [keyed(2)]),
                look(14, 0, []),
            ],
        },
        Case {
            name: "a circuit was forced open and forgotten",
            series: breaker(&[("closed", 1), ("forced_open", 60)]),
            looks: vec![look(31, 0, []), look(31, 15, [forced()])],
        },
        Case {
            name: "a circuit was forced open for a while",
            series: breaker(&[("forced_open", 25), ("closed", 35)]),
            looks: vec![look(25, 0, []), look(45, 0, [])],
        },
        Case {
            name: "a panic",
            series: vec![
                named("buttress_panics_total", ("place", "future"), 0.0)
                    .stays(5)
                    .grows(1.0, 1)
                    .stays(10),
            ],
            looks: vec![look(5, 0, []), look(5, 15, [panics()]), look(11, 15, [])],
        },
        Case {
            name: "retries are out of budget",
            series: vec![
                named("buttress_retry_given_up_total", ("reason", "out_of_budget"), 0.0)
                    .stays(5)
                    .grows(1.0, 25),
            ],
            looks: vec![look(10, 0, []), look(10, 15, [budget()]), look(30, 0, [budget()])],
        },
        Case {
            name: "a queue is full",
            series: vec![
                named("buttress_priority_rejected_total", ("reason", "full"), 0.0)
                    .stays(5)
                    .grows(1.0, 25),
            ],
            looks: vec![look(15, 0, []), look(15, 15, [full()]), look(30, 0, [full()])],
        },
        Case {
            name: "a queue was full for a while",
            series: vec![
                named("buttress_priority_rejected_total", ("reason", "full"), 0.0)
                    .grows(1.0, 4)
                    .stays(26),
            ],
            looks: vec![look(5, 0, []), look(12, 0, []), look(30, 0, [])],
        },
        Case {
            name: "somebody makes keys up",
            series: vec![
                Series::new("buttress_rate_limit_overflowed_total", &[NAME], 0.0)
                    .stays(5)
                    .grows(1.0, 1)
                    .stays(20),
            ],
            looks: vec![look(5, 0, []), look(5, 15, [keys()]), look(22, 0, [])],
        },
        Case {
            name: "the last endpoint is out",
            series: vec![
                Series::new("buttress_pool_usable_endpoints", &[NAME], 1.0)
                    .stays(5)
                    .grows(-0.25, 1)
                    .stays(5),
            ],
            looks: vec![
                look(5, 45, []),
                look(6, 0, []),
                look(6, 15, [none()]),
                look(10, 0, [none()]),
            ],
        },
        Case {
            name: "an endpoint is out for ten minutes",
            series: vec![named("buttress_pool_endpoint_failed_for_seconds", ENDPOINT, 0.0).grows(15.0, 10)],
            looks: vec![
                look(5, 0, []),
                look(5, 15, [out("5m 15s")]),
                look(10, 0, [out("10m 0s")]),
            ],
        },
    ]
}
