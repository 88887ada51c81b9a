//! The rules as Prometheus has them: an expression, and how long it must hold.

use crate::{
    STEP,
    cases::{Alert, Series},
    promql::{self, Expr, Labels},
};

pub(crate) struct Rule {
    pub(crate) name: String,
    expr: Expr,
    /// Seconds.
    holds_for: u32,
    pub(crate) severity: String,
    summary: String,
    description: String,
}

impl Rule {
    /// The rules of a file that has them in the form of ours, each key on a line of its own.
    pub(crate) fn read(text: &str) -> Vec<Self> {
        let rules = text.split("      - alert: ").skip(1);
        rules
            .map(|rule| {
                let find = |key: &str| rule.lines().find_map(|line| line.trim_start().strip_prefix(key));
                let value = |key: &str| find(key).unwrap_or_else(|| panic!("no {key}in {rule}"));
                let quoted = |key: &str| value(key).trim_matches('"').to_owned();
                let expr = value("expr: ");
                Self {
                    name: rule.lines().next().expect("a name").to_owned(),
                    expr: promql::parse(expr).unwrap_or_else(|problem| panic!("{problem} in {expr}")),
                    holds_for: find("for: ").map_or(0, |text| {
                        promql::seconds(text).expect("a duration").round() as u32
                    }),
                    severity: value("severity: ").to_owned(),
                    summary: quoted("summary: "),
                    description: quoted("description: "),
                }
            })
            .collect()
    }

    /// What fires at that second, having been looked at every [`STEP`] from the beginning.
    pub(crate) fn fired(&self, series: &[Series], at: u32) -> Vec<Alert> {
        let store: Vec<_> = series.iter().map(Series::samples).collect();
        let mut active: Vec<(Labels, u32)> = Vec::new();
        let mut now = Vec::new();
        for time in (0..=at).step_by(STEP as usize) {
            now = self.expr.vector(&store, f64::from(time));
            active.retain(|(labels, _)| now.iter().any(|(l, _)| l == labels));
            for (labels, _) in &now {
                if !active.iter().any(|(l, _)| l == labels) {
                    active.push((labels.clone(), time));
                }
            }
        }
        let since = |labels: &Labels| active.iter().find(|(l, _)| l == labels).map(|(_, since)| *since);
        let firing = now
            .into_iter()
            .filter(|(labels, _)| since(labels).is_some_and(|since| at - since >= self.holds_for));
        firing
            .map(|(labels, value)| Alert {
                name: self.name.clone(),
                summary: filled_in(&self.summary, &labels, value),
                labels: labels.into_iter().filter(|(key, _)| key != "__name__").collect(),
            })
            .collect()
    }

    /// What it says beside the summary, which does not depend on anything.
    pub(crate) fn description(&self) -> &str {
        assert!(!self.description.contains("{{"), "{}", self.description);
        &self.description
    }
}

/// A template with its labels and its value.
fn filled_in(template: &str, labels: &Labels, value: f64) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let (action, after) = after.split_once("}}").expect("it ends");
        text.push_str(before);
        match action.trim() {
            "$value" => text += &value.to_string(),
            "$value | humanizePercentage" => text += &format!("{}%", four_digits(value * 100.0)),
            "$value | humanizeDuration" => text += &duration(value),
            action => {
                let label = action.strip_prefix("$labels.").expect("a label");
                text += labels
                    .get(label)
                    .unwrap_or_else(|| panic!("no {label} in {labels:?}"));
            }
        }
        rest = after;
    }
    text + rest
}

/// Go's `%.4g`, of what needs no exponent.
fn four_digits(value: f64) -> String {
    let before_point = if value == 0.0 {
        0.0
    } else {
        value.abs().log10().floor()
    };
    assert!((-4.0..4.0).contains(&before_point), "{value}");
    let text = format!("{value:.*}", (3.0 - before_point) as usize);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

fn duration(seconds: f64) -> String {
    assert!((1.0..3600.0).contains(&seconds), "{seconds}");
    let whole = seconds as u32;
    match whole / 60 {
        0 => format!("{}s", four_digits(seconds)),
        minutes => format!("{minutes}m {}s", whole % 60),
    }
}
