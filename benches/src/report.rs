//! The table, and the same as JSON.

use std::fmt::Write;

use serde_json::json;

use crate::measure::Figures;

/// One JSON object a line.
#[must_use]
pub fn json(figures: &[Figures]) -> String {
    let mut lines = String::new();
    for one in figures {
        let (q1, q3) = one.spread();
        let line = json!({
            "path": one.entry.path,
            "subject": one.entry.subject,
            "ns": round(one.nanos()),
            "ns_q1": round(q1),
            "ns_q3": round(q3),
            "allocs": one.allocations,
            "service_bytes": one.bytes.map(|(service, _)| service),
            "future_bytes": one.bytes.map(|(_, future)| future),
        });
        // Writing to a string does not fail.
        let _ = writeln!(lines, "{line}");
    }
    lines
}

/// The table, path by path.
#[must_use]
pub fn table(figures: &[Figures]) -> String {
    let mut table = format!(
        "{:<30} {:>8} {:>17} {:>10} {:>7} {:>7} {:>15}\n",
        "", "ns", "middle half", "over bare", "× floor", "allocs", "service+future"
    );
    for path in figures.chunk_by(|a, b| a.entry.path == b.entry.path) {
        let _ = writeln!(table, "{}", path[0].entry.path);
        for one in path {
            let _ = writeln!(table, "{}", row(one, path));
        }
    }
    table
}

fn row(one: &Figures, path: &[Figures]) -> String {
    let named = |name| path.iter().find(|f| f.entry.subject == name);
    let (q1, q3) = one.spread();
    let over_bare = named("bare").map(|bare| format!("{:+.1}", one.against(bare, |a, b| a - b)));
    let times_floor = named("floor").map(|floor| format!("{:.2}", one.against(floor, |a, b| a / b)));
    let bytes = one.bytes.map(|(service, future)| format!("{service}+{future} B"));
    format!(
        "  {:<28} {:>8.1} {:>17} {:>10} {:>7} {:>7} {:>15}",
        one.entry.subject,
        one.nanos(),
        format!("{q1:.1}..{q3:.1}"),
        over_bare.unwrap_or_default(),
        times_floor.unwrap_or_default(),
        allocations(one.allocations),
        bytes.unwrap_or_default(),
    )
}

fn allocations(count: f64) -> String {
    if count.fract() == 0.0 {
        format!("{count:.0}")
    } else {
        format!("{count:.3}")
    }
}

fn round(nanos: f64) -> f64 {
    (nanos * 100.0).round() / 100.0
}
