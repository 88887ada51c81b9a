//! What was measured, as a table and as charts.

use std::fmt::Write;

use super::{CLASSES, CRITICAL, Figures, System};
use crate::plot::Chart;

/// A table in Markdown, a line for each system and load. `unloaded` are the figures with `Critical` calls alone.
#[must_use]
pub fn table(rows: &[(System, Vec<(f64, Figures)>)], unloaded: &[(System, Figures)]) -> String {
    let mut table = String::from(
        "| load | | `Critical` answered | its p99, ms | × unloaded | goodput, % of capacity | refused at once, % | \
         in µs (p50, p99) | told when to come back | gave up, % |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    let loads = rows.first().map_or(0, |(_, figures)| figures.len());
    for load in 0..loads {
        for (system, figures) in rows {
            let (load, figures) = &figures[load];
            let alone = unloaded.iter().find(|(other, _)| other == system);
            let alone = alone.map_or(f64::NAN, |(_, figures)| figures.critical_p99);
            // Writing to a string does not fail.
            let _ = writeln!(
                table,
                "| {load} × | {} | {} % | {} | {} | {} | {} | {} | {} | {} |",
                system.name(),
                number(100.0 * figures.answered[CRITICAL], 1),
                number(figures.critical_p99, 1),
                number(figures.critical_p99 / alone, 2),
                number(100.0 * figures.goodput, 1),
                number(100.0 * figures.refused_at_once, 0),
                match figures.refusal {
                    [p50, p99] if p50.is_finite() => format!("{}, {}", number(p50, 1), number(p99, 1)),
                    _ => "–".into(),
                },
                match figures.retry_after {
                    share if share.is_nan() => "–".into(),
                    share => format!("{} %", number(100.0 * share, 0)),
                },
                number(100.0 * figures.gave_up, 0),
            );
        }
    }
    table
}

fn number(value: f64, places: usize) -> String {
    match value.is_finite() {
        true => format!("{value:.places$}"),
        false => "–".into(),
    }
}

/// Charts, each with the name of its file: latencies by load, and who is answered at the highest load.
#[must_use]
pub fn charts(how: &str, rows: &[(System, Vec<(f64, Figures)>)], unloaded: f64) -> Vec<(String, String)> {
    let mut latency = Chart::lines(format!("A Critical call under load, {how}"))
        .x("offered, × capacity")
        .y("p99 of the answered, ms")
        .log_y();
    let mut served = Chart::lines(format!("Critical calls that are answered, {how}"))
        .x("offered, × capacity")
        .y("answered, %")
        .y_range(0.0, 105.0);
    let ends = rows.first().map(|(_, figures)| {
        let load = |at: Option<&(f64, Figures)>| at.map_or(0.0, |(load, _)| *load);
        (load(figures.first()), load(figures.last()))
    });
    for (system, figures) in rows {
        let points = figures.iter();
        latency = latency.line(
            system.name(),
            points.clone().map(|(load, f)| (*load, f.critical_p99)),
        );
        served = served.line(
            system.name(),
            points.map(|(load, f)| (*load, 100.0 * f.answered[CRITICAL])),
        );
    }
    if let Some((first, last)) = ends {
        latency = latency.reference("unloaded", [(first, unloaded), (last, unloaded)]);
    }
    let most = ends.map_or(0.0, |(_, last)| last);
    let classes = CLASSES.iter().rev().map(|(name, _)| *name);
    let mut by_class = Chart::bars(
        format!("Who is answered at {most} × the capacity, {how}"),
        classes,
    )
    .y("answered, %")
    .y_range(0.0, 110.0);
    for (system, figures) in rows {
        if let Some((_, figures)) = figures.last() {
            let shares = figures.answered.iter().rev().map(|share| 100.0 * share);
            by_class = by_class.bar(system.name(), shares);
        }
    }
    let file = |what: &str| format!("overload-{how}-{what}.svg");
    vec![
        (file("latency"), latency.svg()),
        (file("critical"), served.svg()),
        (file("classes"), by_class.svg()),
    ]
}
