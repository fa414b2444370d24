//! What a run measured.

use std::time::{Duration, Instant};

use crate::run::Done;

/// The operations of one client.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples {
    /// How long each took, in microseconds.
    pub(crate) micros: Vec<u32>,
    /// Octets received.
    pub(crate) octets: u64,
    /// The sum of the times.
    pub(crate) busy: Duration,
    /// Operations, those to warm up included.
    pub(crate) all: u64,
    /// Not all of the time counted.
    pub(crate) partly: bool,
}

impl Samples {
    /// An operation; it counts if it began when all was warm.
    pub(crate) fn note(&mut self, done: &Done, begin: Instant, warm: Instant, now: Instant) {
        self.all += 1;
        self.partly |= !done.whole;
        if begin >= warm {
            self.add(done.took.unwrap_or(now - begin), done.octets);
        }
    }

    pub(crate) fn add(&mut self, took: Duration, octets: u64) {
        self.micros
            .push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
        self.octets += octets;
        self.busy += took;
    }
}

/// The result of a workload.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) workload: String,
    pub(crate) clients: usize,
    pub(crate) seconds: f64,
    /// Operations, those to warm up included.
    pub(crate) all: u64,
    /// How many messages the mailbox had.
    pub(crate) messages: u64,
    /// Processor time of the server for each operation, in milliseconds, and its memory.
    pub(crate) cpu_ms: Option<f64>,
    pub(crate) memory_mib: Option<f64>,
    /// Processor time of the load generator for each operation, in milliseconds.
    pub(crate) own_cpu_ms: Option<f64>,
    /// Sorted, in microseconds.
    micros: Vec<u32>,
    octets: u64,
    /// Figures of this workload only: name, value, unit.
    pub(crate) extra: Vec<(&'static str, f64, &'static str)>,
}

impl Report {
    pub(crate) fn new(workload: &str, wall: Duration, samples: Vec<Samples>) -> Self {
        let clients = samples.len();
        let octets = samples.iter().map(|s| s.octets).sum();
        let mut micros: Vec<u32> = samples.into_iter().flat_map(|s| s.micros).collect();
        micros.sort_unstable();
        let seconds = wall.as_secs_f64();
        Self {
            workload: workload.to_owned(),
            clients,
            seconds,
            all: 0,
            messages: 0,
            cpu_ms: None,
            memory_mib: None,
            own_cpu_ms: None,
            micros,
            octets,
            extra: Vec::new(),
        }
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.micros.len() as f64 / self.seconds.max(1e-9)
    }

    /// The latency that this share of the operations did not exceed, in milliseconds.
    pub(crate) fn percentile(&self, share: f64) -> f64 {
        let last = self.micros.len().saturating_sub(1);
        let at = (last as f64 * share).round() as usize;
        self.micros
            .get(at)
            .map_or(0.0, |&micros| f64::from(micros) / 1000.0)
    }

    fn megabytes_per_second(&self) -> f64 {
        self.octets as f64 / 1e6 / self.seconds.max(1e-9)
    }

    /// What stands above the lines of [`Report::text`].
    pub(crate) fn heading() -> String {
        format!(
            "{:<20} {:>7} {:>8} {:>9} {:>11} {:>10} {:>10} {:>10} {:>8} {:>9} {:>8} {:>9}",
            "workload",
            "clients",
            "messages",
            "ops",
            "ops/s",
            "p50 ms",
            "p99 ms",
            "p99.9 ms",
            "MB/s",
            "CPU ms/op",
            "MiB",
            "own CPU",
        )
    }

    /// One line for people.
    pub(crate) fn text(&self) -> String {
        let or_dash = |value: Option<f64>, digits: usize| match value {
            Some(value) => format!("{value:.digits$}"),
            None => "-".to_owned(),
        };
        let mut line = format!(
            "{:<20} {:>7} {:>8} {:>9} {:>11.1} {:>10.3} {:>10.3} {:>10.3} {:>8.1} {:>9} {:>8} {:>9}",
            self.workload,
            self.clients,
            self.messages,
            self.micros.len(),
            self.per_second(),
            self.percentile(0.5),
            self.percentile(0.99),
            self.percentile(0.999),
            self.megabytes_per_second(),
            or_dash(self.cpu_ms, 4),
            or_dash(self.memory_mib, 1),
            or_dash(self.own_cpu_ms, 4),
        );
        for (name, value, unit) in &self.extra {
            line.push_str(&format!("   {name} {value:.3} {unit}"));
        }
        line
    }

    /// One object for programs, and for a table: names and values.
    fn fields(&self) -> Vec<(String, String)> {
        let mut fields = vec![
            ("workload".to_owned(), format!("\"{}\"", self.workload)),
            ("clients".to_owned(), self.clients.to_string()),
            ("messages".to_owned(), self.messages.to_string()),
            ("ops".to_owned(), self.micros.len().to_string()),
        ];
        let mut figure = |name: &str, value: f64| {
            fields.push((name.to_owned(), format!("{value:.4}")));
        };
        figure("seconds", self.seconds);
        figure("ops_per_s", self.per_second());
        figure("p50_ms", self.percentile(0.5));
        figure("p99_ms", self.percentile(0.99));
        figure("p999_ms", self.percentile(0.999));
        figure("mb_per_s", self.megabytes_per_second());
        for (name, value) in [
            ("cpu_ms", self.cpu_ms),
            ("memory_mib", self.memory_mib),
            ("own_cpu_ms", self.own_cpu_ms),
        ] {
            if let Some(value) = value {
                figure(name, value);
            }
        }
        for (name, value, unit) in &self.extra {
            figure(&format!("{name}_{}", unit.replace('/', "_per_")), *value);
        }
        fields
    }

    /// A line of JSON.
    pub(crate) fn json(&self) -> String {
        let fields: Vec<String> = self
            .fields()
            .iter()
            .map(|(name, value)| format!("\"{name}\":{value}"))
            .collect();
        format!("{{{}}}", fields.join(","))
    }

    /// A line of CSV; the columns are [`Report::CSV_COLUMNS`].
    pub(crate) fn csv(&self) -> String {
        let fields = self.fields();
        let column = |name: &&str| {
            let field = fields.iter().find(|(field, _)| field == name);
            field.map_or(String::new(), |(_, value)| {
                value.trim_matches('"').to_owned()
            })
        };
        Self::CSV_COLUMNS
            .iter()
            .map(column)
            .collect::<Vec<_>>()
            .join(",")
    }

    pub(crate) const CSV_COLUMNS: [&str; 13] = [
        "workload",
        "clients",
        "messages",
        "ops",
        "seconds",
        "ops_per_s",
        "p50_ms",
        "p99_ms",
        "p999_ms",
        "mb_per_s",
        "cpu_ms",
        "memory_mib",
        "own_cpu_ms",
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles() {
        let mut samples = Samples::default();
        for n in 1..=100 {
            samples.add(Duration::from_millis(n), 0);
        }
        let report = Report::new("x", Duration::from_secs(2), vec![samples]);
        assert_eq!(report.percentile(0.99), 99.0);
        assert_eq!(report.per_second(), 50.0);
        assert!(
            report
                .json()
                .starts_with("{\"workload\":\"x\",\"clients\":1,")
        );
        assert_eq!(report.csv().split(',').count(), Report::CSV_COLUMNS.len());
    }
}
