//! Charts as SVG, for the pages in `docs/`.
//!
//! ```
//! use buttress_benches::plot::Chart;
//!
//! let svg = Chart::lines("How long a call takes")
//!     .x("load, × capacity")
//!     .y("p99, ms")
//!     .log_y()
//!     .line("ours", [(1.0, 21.0), (2.0, 24.0), (5.0, 24.0)])
//!     .line("theirs", [(1.0, 21.0), (2.0, 600.0), (5.0, 2_400.0)])
//!     .reference("target", [(1.0, 25.0), (5.0, 25.0)])
//!     .svg();
//! assert!(svg.starts_with("<svg") && svg.contains("theirs"));
//! ```
//!
//! A chart has a ground of its own and takes its colours from whether the reader's screen is light or dark, so that it
//! can be read on any page. No two series differ by colour alone: lines are dashed differently, bars carry their value.

use std::fmt::Write;

mod scale;

use scale::Scale;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 396.0;
/// What is left beside the plot for labels and numbers.
const LEFT: f64 = 66.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 88.0;
const BOTTOM: f64 = 52.0;
/// The middle of the legend's first row, and how far the next one is below it.
const LEGEND: f64 = 46.0;
const ROW: f64 = 19.0;

/// The colours of the series, for light and for dark ground; told apart by those who see few colours, too.
const LIGHT: [&str; 6] = ["#0b62c4", "#c2410c", "#047857", "#9333ea", "#a16207", "#475569"];
const DARK: [&str; 6] = ["#6cb2ff", "#ff9d5c", "#4ade9f", "#d8a4ff", "#f2cc4d", "#b6c2d1"];
const DASHES: [&str; 6] = ["", "9 4", "3 3", "12 3 3 3", "6 2", "1 3"];

/// A chart with axes and a legend. Built up by its methods; [`svg`](Self::svg) draws it.
#[derive(Clone, Debug)]
#[must_use = "a chart is drawn by `svg`"]
pub struct Chart {
    title: String,
    x: Axis,
    y: Axis,
    /// Of bars, what stands below each group.
    groups: Vec<String>,
    series: Vec<Series>,
}

#[derive(Clone, Debug, Default)]
struct Axis {
    label: String,
    is_log: bool,
    range: Option<(f64, f64)>,
}

#[derive(Clone, Debug)]
struct Series {
    name: String,
    kind: Kind,
    points: Vec<(f64, f64)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Line,
    Steps,
    Reference,
    Bars,
}

impl Chart {
    /// One of lines.
    pub fn lines(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            x: Axis::default(),
            y: Axis::default(),
            groups: Vec::new(),
            series: Vec::new(),
        }
    }

    /// One of bars: a group for each name, and in it a bar of each series.
    pub fn bars(title: impl Into<String>, groups: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let mut chart = Self::lines(title);
        chart.groups = groups.into_iter().map(Into::into).collect();
        chart
    }

    /// What is along the horizontal axis, with its unit.
    pub fn x(mut self, label: impl Into<String>) -> Self {
        self.x.label = label.into();
        self
    }

    /// What is along the vertical axis, with its unit.
    pub fn y(mut self, label: impl Into<String>) -> Self {
        self.y.label = label.into();
        self
    }

    /// A logarithmic horizontal axis; what is not above zero is left out.
    pub fn log_x(mut self) -> Self {
        self.x.is_log = true;
        self
    }

    /// A logarithmic vertical axis; what is not above zero is left out.
    pub fn log_y(mut self) -> Self {
        self.y.is_log = true;
        self
    }

    /// From where to where the horizontal axis goes, where that should not follow from what is drawn.
    pub fn x_range(mut self, low: f64, high: f64) -> Self {
        self.x.range = Some((low, high));
        self
    }

    /// From where to where the vertical axis goes, where that should not follow from what is drawn.
    pub fn y_range(mut self, low: f64, high: f64) -> Self {
        self.y.range = Some((low, high));
        self
    }

    /// A line from point to point.
    pub fn line(self, name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        self.series(name, Kind::Line, points)
    }

    /// A line that keeps its height until the next point.
    pub fn steps(self, name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        self.series(name, Kind::Steps, points)
    }

    /// What the others are to be seen against: a thin grey line that keeps its height until the next point. Among bars, a
    /// point's horizontal place is counted in groups.
    pub fn reference(self, name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        self.series(name, Kind::Reference, points)
    }

    /// A bar in each group, in their order. One that is no number is not drawn.
    pub fn bar(self, name: impl Into<String>, values: impl IntoIterator<Item = f64>) -> Self {
        let points = values.into_iter().enumerate();
        self.series(name, Kind::Bars, points.map(|(i, value)| (i as f64, value)))
    }

    fn series(
        mut self,
        name: impl Into<String>,
        kind: Kind,
        points: impl IntoIterator<Item = (f64, f64)>,
    ) -> Self {
        self.series.push(Series {
            name: name.into(),
            kind,
            points: points.into_iter().collect(),
        });
        self
    }

    /// The drawing, a whole file.
    #[must_use]
    pub fn svg(&self) -> String {
        let (x, y) = (self.x_scale(), self.y_scale());
        let mut svg = String::new();
        // Writing to a string does not fail.
        let _ = self.draw(&mut svg, &x, &y);
        svg
    }

    fn x_scale(&self) -> Scale {
        let ends = (LEFT, WIDTH - RIGHT);
        if !self.groups.is_empty() {
            return Scale::new((-0.5, self.groups.len() as f64 - 0.5), ends, false);
        }
        let values = self.points().map(|(x, _)| x);
        let range = self.x.range.or_else(|| scale::range(values, self.x.is_log));
        Scale::new(range.unwrap_or((0.0, 1.0)), ends, self.x.is_log)
    }

    fn y_scale(&self) -> Scale {
        let ends = (HEIGHT - BOTTOM, TOP);
        let values = self.points().map(|(_, y)| y);
        let range = self.y.range.or_else(|| {
            // A bar begins at zero, and so does a line unless told otherwise; logarithms have none.
            let (low, high) = scale::range(values, self.y.is_log)?;
            Some(if self.y.is_log {
                (low / 1.5, high * 1.5)
            } else {
                (low.min(0.0), high * 1.05)
            })
        });
        Scale::new(range.unwrap_or((0.0, 1.0)), ends, self.y.is_log)
    }

    fn points(&self) -> impl Iterator<Item = (f64, f64)> {
        self.series
            .iter()
            .flat_map(|series| series.points.iter().copied())
    }

    // ===== drawing =====

    fn draw(&self, svg: &mut String, x: &Scale, y: &Scale) -> std::fmt::Result {
        write!(
            svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
             height=\"{HEIGHT}\" role=\"img\" font-family=\"system-ui, sans-serif\" font-size=\"12\">\n\
             <title>{}</title>\n<style>\n{}</style>\n\
             <rect class=\"ground\" width=\"100%\" height=\"100%\" rx=\"6\"/>\n\
             <text class=\"ink\" x=\"{LEFT}\" y=\"24\" font-size=\"15\" font-weight=\"600\">{}</text>\n",
            escape(&self.title),
            style(),
            escape(&self.title),
        )?;
        self.draw_axes(svg, x, y)?;
        for (colour, series) in self.coloured() {
            match series.kind {
                Kind::Bars => self.draw_bars(svg, colour, series, x, y)?,
                _ => draw_line(svg, colour, series, x, y)?,
            }
        }
        self.draw_legend(svg)?;
        svg.push_str("</svg>\n");
        Ok(())
    }

    /// The series, each with the number of its colour; what is only a reference has none.
    fn coloured(&self) -> impl Iterator<Item = (usize, &Series)> {
        let mut next = 0;
        self.series.iter().map(move |series| {
            let colour = next;
            next += usize::from(series.kind != Kind::Reference);
            (colour % LIGHT.len(), series)
        })
    }

    fn draw_axes(&self, svg: &mut String, x: &Scale, y: &Scale) -> std::fmt::Result {
        let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        for tick in y.ticks() {
            let at = y.at(tick);
            writeln!(
                svg,
                "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{right}\"/>\
                 <text class=\"faint\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 8.0,
                at + 4.0,
                number(tick)
            )?;
        }
        let names = if self.groups.is_empty() {
            let ticks = x.ticks();
            ticks.iter().map(|tick| (x.at(*tick), number(*tick))).collect()
        } else {
            let places = self.groups.iter().enumerate();
            let named = places.map(|(i, name)| (x.at(i as f64), escape(name)));
            named.collect::<Vec<_>>()
        };
        for (at, name) in names {
            writeln!(
                svg,
                "<text class=\"faint\" x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{name}</text>",
                bottom + 18.0
            )?;
        }
        writeln!(svg, "<path class=\"axis\" d=\"M{LEFT} {bottom}H{right}\"/>")?;
        let middle = (LEFT + right) / 2.0;
        writeln!(
            svg,
            "<text class=\"ink\" x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            HEIGHT - 12.0,
            escape(&self.x.label)
        )?;
        let middle = (TOP + bottom) / 2.0;
        writeln!(
            svg,
            "<text class=\"ink\" transform=\"translate(16 {middle}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            escape(&self.y.label)
        )
    }

    fn draw_bars(
        &self,
        svg: &mut String,
        colour: usize,
        series: &Series,
        x: &Scale,
        y: &Scale,
    ) -> std::fmt::Result {
        let bars = self.series.iter().filter(|series| series.kind == Kind::Bars);
        let before = bars.clone().position(|other| std::ptr::eq(other, series));
        let count = bars.count() as f64;
        let group = (x.at(1.0) - x.at(0.0)) * 0.84;
        let width = (group / count).min(56.0);
        for (place, value) in series.points.iter().filter(|(_, value)| value.is_finite()) {
            let left = x.at(*place) + (before.unwrap_or(0) as f64 - count / 2.0) * width;
            let (top, bottom) = (y.at(y.clamp(*value)), y.at(y.foot()));
            writeln!(
                svg,
                "<rect class=\"fill{colour}\" x=\"{:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>\
                 <text class=\"ink\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" font-size=\"10\">{}</text>",
                left + 1.0,
                (width - 2.0).max(1.0),
                (bottom - top).max(0.0),
                left + width / 2.0,
                top - 4.0,
                match width < 32.0 {
                    true => number(value.round()),
                    false => short(*value),
                }
            )?;
        }
        Ok(())
    }

    fn draw_legend(&self, svg: &mut String) -> std::fmt::Result {
        let (mut at, mut row) = (LEFT, LEGEND);
        for (colour, series) in self.coloured() {
            // How wide a letter is depends on the reader's machine; this is wide enough for all.
            let width = 46.0 + 6.8 * series.name.chars().count() as f64;
            if at > LEFT && at + width > WIDTH {
                (at, row) = (LEFT, row + ROW);
            }
            let mark = match series.kind {
                Kind::Bars => {
                    format!(
                        "<rect class=\"fill{colour}\" x=\"{at}\" y=\"{}\" width=\"14\" height=\"12\"/>",
                        row - 6.0
                    )
                }
                Kind::Reference => format!("<path class=\"reference\" d=\"M{at} {row}h22\"/>"),
                _ => format!("<path class=\"line{colour}\" d=\"M{at} {row}h22\"/>"),
            };
            writeln!(
                svg,
                "{mark}<text class=\"ink\" x=\"{}\" y=\"{}\">{}</text>",
                at + 28.0,
                row + 4.0,
                escape(&series.name)
            )?;
            at += width;
        }
        Ok(())
    }
}

fn draw_line(svg: &mut String, colour: usize, series: &Series, x: &Scale, y: &Scale) -> std::fmt::Result {
    let mut path = String::new();
    let mut last = None;
    for (px, py) in series.points.iter().filter(|(px, py)| x.has(*px) && y.has(*py)) {
        let (px, py) = (x.at(*px), y.at(y.clamp(*py)));
        match last {
            None => write!(path, "M{px:.1} {py:.1}")?,
            Some(_) if series.kind == Kind::Line => write!(path, "L{px:.1} {py:.1}")?,
            Some(before) if before == py => write!(path, "H{px:.1}")?,
            Some(_) => write!(path, "H{px:.1}V{py:.1}")?,
        }
        last = Some(py);
    }
    match series.kind {
        Kind::Reference => writeln!(svg, "<path class=\"reference\" d=\"{path}\"/>"),
        _ => writeln!(svg, "<path class=\"line{colour}\" d=\"{path}\"/>"),
    }
}

fn style() -> String {
    let mut style = String::new();
    let theme = |colours: [&str; 6], ground: &str, ink: &str, faint: &str, grid: &str| {
        let mut rules = format!(
            ".ground{{fill:{ground}}} .ink{{fill:{ink}}} .faint{{fill:{faint}}}\n\
             .grid{{stroke:{grid}}} .axis{{stroke:{faint}}}\n\
             .reference{{fill:none;stroke:{faint};stroke-width:1.5;stroke-dasharray:2 4}}\n"
        );
        for (i, colour) in colours.iter().enumerate() {
            let dashes = DASHES[i];
            // Writing to a string does not fail.
            let _ = writeln!(
                rules,
                ".fill{i}{{fill:{colour}}} .line{i}{{fill:none;stroke:{colour};stroke-width:2;stroke-dasharray:{}}}",
                if dashes.is_empty() { "none" } else { dashes }
            );
        }
        rules
    };
    style.push_str(&theme(LIGHT, "#ffffff", "#1f2328", "#59636e", "#e4e8ec"));
    let dark = theme(DARK, "#0d1117", "#f0f6fc", "#9aa4af", "#2b323b");
    let _ = write!(style, "@media (prefers-color-scheme: dark) {{\n{dark}}}\n");
    style
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// With as many places as it has, up to three.
fn number(value: f64) -> String {
    let text = if value.abs() >= 1e6 {
        return format!("{} M", number(value / 1e6));
    } else if value.abs() >= 1e4 {
        return format!("{:.0} {:03.0}", (value / 1e3).trunc(), value.abs() % 1e3);
    } else {
        format!("{value:.3}")
    };
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Three digits, for above a bar.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => number(value.round()),
        size if size >= 10.0 => number((value * 10.0).round() / 10.0),
        _ => number((value * 100.0).round() / 100.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_goes_from_point_to_point_and_steps_turn_at_right_angles() {
        let chart = Chart::lines("a < b").x_range(0.0, 1.0).y_range(0.0, 1.0);
        let svg = chart.clone().line("l", [(0.0, 0.0), (1.0, 1.0)]).svg();
        assert!(svg.contains("d=\"M66.0 344.0L740.0 88.0\""), "{svg}");
        assert!(svg.contains("a &lt; b"));
        let svg = chart.steps("s", [(0.0, 0.0), (0.5, 0.0), (1.0, 1.0)]).svg();
        assert!(svg.contains("d=\"M66.0 344.0H403.0H740.0V88.0\""), "{svg}");
    }

    #[test]
    fn what_a_logarithm_has_no_place_for_is_left_out() {
        let svg = Chart::lines("log")
            .log_y()
            .line("l", [(0.0, 0.0), (1.0, 10.0), (2.0, 100.0)])
            .svg();
        assert_eq!(svg.matches("NaN").count() + svg.matches("inf").count(), 0);
    }

    #[test]
    fn a_bar_stands_on_the_axis_in_its_group_and_carries_its_value() {
        let chart = Chart::bars("bars", ["one", "two"]).y_range(0.0, 4.0);
        let svg = chart.bar("a", [1.0, 2.0]).bar("b", [f64::NAN, 4.0]).svg();
        assert_eq!(
            svg.matches("class=\"fill0\" x=").count(),
            2 + 1,
            "two bars and the legend"
        );
        assert_eq!(svg.matches("class=\"fill1\" x=").count(), 1 + 1);
        assert!(
            svg.contains("height=\"256.0\"") && svg.contains(">4</text>"),
            "{svg}"
        );
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            ["0", "0.25", "1200", "20 500", "1.5 M"],
            [0.0, 0.25, 1200.0, 20_500.0, 1.5e6].map(number).as_slice()
        );
        assert_eq!(
            ["1.23", "12.3", "123"],
            [1.234, 12.34, 123.4].map(short).as_slice()
        );
    }
}
