//! Plots as SVG, without a library: logarithmic axes, lines, and names.

use std::fmt::Write as _;

use crate::report::Report;

const COLOURS: [&str; 8] = [
    "#1b6ca8", "#c0392b", "#27823b", "#8e44ad", "#c77c11", "#11807a", "#7f5539", "#555555",
];
const WIDTH: f64 = 860.0;
const LEFT: f64 = 150.0;
const RIGHT: f64 = 190.0;

/// A logarithmic axis over whole powers of ten.
struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (mut low, mut high) = (f64::MAX, f64::MIN);
        for value in values.filter(|&value| value > 0.0) {
            low = low.min(value.log10().floor());
            high = high.max(value.log10().ceil());
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        let high = high.max(low + 1.0);
        Self {
            low,
            high,
            from,
            to,
        }
    }

    fn at(&self, value: f64) -> f64 {
        let share = (value.max(1e-12).log10() - self.low) / (self.high - self.low);
        self.from + share.clamp(0.0, 1.0) * (self.to - self.from)
    }

    fn marks(&self) -> impl Iterator<Item = f64> + '_ {
        (self.low as i32..=self.high as i32).map(|power| 10f64.powi(power))
    }
}

/// Where reports differ in messages or clients: a line for each workload over that. Else the
/// latencies of each workload.
pub(crate) fn svg(reports: &[Report]) -> String {
    let messages = |report: &Report| report.messages as f64;
    let clients = |report: &Report| report.clients as f64;
    let differ = |of: &dyn Fn(&Report) -> f64| {
        let mut names: Vec<&str> = reports.iter().map(|r| r.workload.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names.iter().any(|name| {
            let mut values = reports.iter().filter(|r| r.workload == *name).map(of);
            let first = values.next();
            values.any(|value| Some(value) != first)
        })
    };
    if differ(&messages) {
        curves(reports, "messages in the mailbox", &messages)
    } else if differ(&clients) {
        curves(reports, "clients", &clients)
    } else {
        ranges(reports)
    }
}

fn begin(height: f64, title: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"10\" y=\"18\" font-size=\"14\">{title}</text>\n"
    )
}

fn curves(reports: &[Report], what: &str, of: &dyn Fn(&Report) -> f64) -> String {
    let height = 520.0;
    let x = Axis::over(reports.iter().map(of), LEFT - 60.0, WIDTH - RIGHT);
    let cost = |report: &Report| report.percentile(0.5);
    let y = Axis::over(reports.iter().map(cost), height - 50.0, 40.0);
    let mut out = begin(
        height,
        &format!("median of one operation, in ms, by {what}"),
    );
    for mark in x.marks() {
        let (at, bottom) = (x.at(mark), y.from);
        let _ = writeln!(
            out,
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"40\" y2=\"{bottom}\" stroke=\"#ddd\"/>\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            bottom + 18.0,
            number(mark),
        );
    }
    for mark in y.marks() {
        let at = y.at(mark);
        let _ = writeln!(
            out,
            "<line x1=\"{0}\" x2=\"{1}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{2}\" y=\"{3:.1}\" text-anchor=\"end\">{4}</text>",
            x.from,
            x.to,
            x.from - 8.0,
            at + 4.0,
            number(mark),
        );
    }
    let mut names: Vec<&str> = Vec::new();
    for report in reports {
        if !names.contains(&report.workload.as_str()) {
            names.push(&report.workload);
        }
    }
    for (n, name) in names.iter().enumerate() {
        let colour = COLOURS[n % COLOURS.len()];
        let of_name = reports.iter().filter(|report| report.workload == *name);
        let points: Vec<(f64, f64)> = of_name.map(|r| (x.at(of(r)), y.at(cost(r)))).collect();
        let line: String = points
            .iter()
            .map(|(x, y)| format!("{x:.1},{y:.1} "))
            .collect();
        let dashes = if n < COLOURS.len() {
            ""
        } else {
            " stroke-dasharray=\"5 3\""
        };
        let _ = writeln!(
            out,
            "<polyline points=\"{line}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dashes}/>"
        );
        for (x, y) in points {
            let _ = writeln!(
                out,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>"
            );
        }
        let at = 50.0 + 18.0 * n as f64;
        let _ = writeln!(
            out,
            "<line x1=\"{0}\" x2=\"{1}\" y1=\"{at}\" y2=\"{at}\" stroke=\"{colour}\" stroke-width=\"2\"{dashes}/>\
             <text x=\"{2}\" y=\"{3}\">{name}</text>",
            WIDTH - RIGHT + 15.0,
            WIDTH - RIGHT + 35.0,
            WIDTH - RIGHT + 42.0,
            at + 4.0,
        );
    }
    out.push_str("</svg>\n");
    out
}

/// A bar from p50 to p99.9 for each workload.
fn ranges(reports: &[Report]) -> String {
    let height = 70.0 + 24.0 * reports.len() as f64;
    let values = reports
        .iter()
        .flat_map(|r| [r.percentile(0.5), r.percentile(0.999)]);
    let x = Axis::over(values, LEFT, WIDTH - RIGHT);
    let mut out = begin(height, "one operation, in ms: p50, p99 and p99.9");
    for mark in x.marks() {
        let at = x.at(mark);
        let _ = writeln!(
            out,
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"30\" y2=\"{0}\" stroke=\"#ddd\"/>\
             <text x=\"{at:.1}\" y=\"{1}\" text-anchor=\"middle\">{2}</text>",
            height - 30.0,
            height - 12.0,
            number(mark),
        );
    }
    for (n, report) in reports.iter().enumerate() {
        let y = 46.0 + 24.0 * n as f64;
        let at = [0.5, 0.99, 0.999].map(|share| x.at(report.percentile(share)));
        let _ = write!(
            out,
            "<text x=\"{0}\" y=\"{1}\" text-anchor=\"end\">{2}</text>\
             <line x1=\"{3:.1}\" x2=\"{4:.1}\" y1=\"{y}\" y2=\"{y}\" stroke=\"#1b6ca8\" stroke-width=\"3\"/>",
            LEFT - 10.0,
            y + 4.0,
            report.workload,
            at[0],
            at[2],
        );
        for at in at {
            let _ = write!(
                out,
                "<circle cx=\"{at:.1}\" cy=\"{y}\" r=\"4\" fill=\"#1b6ca8\"/>"
            );
        }
        let _ = writeln!(
            out,
            "<text x=\"{0}\" y=\"{1}\">{2} ops/s</text>",
            WIDTH - RIGHT + 15.0,
            y + 4.0,
            number(report.per_second()),
        );
    }
    out.push_str("</svg>\n");
    out
}

/// Three significant digits, as people write them.
fn number(value: f64) -> String {
    match value {
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 1.0 => format!("{}", (v * 100.0).round() / 100.0),
        v => format!("{v:.4}").trim_end_matches('0').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Samples;
    use std::time::Duration;

    fn report(messages: u64) -> Report {
        let mut samples = Samples::default();
        samples.add(Duration::from_micros(messages), 0);
        let mut report = Report::new("select", Duration::from_secs(1), vec![samples]);
        report.messages = messages;
        report
    }

    #[test]
    fn one_size_gives_bars_and_several_give_lines() {
        assert!(!svg(&[report(100)]).contains("polyline"));
        let curves = svg(&[report(100), report(10_000)]);
        assert_eq!(curves.matches("<polyline").count(), 1);
        assert_eq!(curves.matches("<circle").count(), 2);
        assert!(curves.ends_with("</svg>\n"));
    }
}
