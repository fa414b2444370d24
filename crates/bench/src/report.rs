//! What a run measured.

use std::time::Duration;

/// The operations of one client.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    /// How long each took, in microseconds.
    pub(crate) micros: Vec<u32>,
    /// Octets received.
    pub(crate) octets: u64,
}

impl Samples {
    pub(crate) fn add(&mut self, took: Duration, octets: u64) {
        self.micros
            .push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
        self.octets += octets;
    }
}

/// The result of a workload.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) workload: String,
    pub(crate) clients: usize,
    pub(crate) seconds: f64,
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
            micros,
            octets,
            extra: Vec::new(),
        }
    }

    /// How many operations were done.
    pub(crate) fn operations(&self) -> u64 {
        self.micros.len() as u64
    }

    fn per_second(&self) -> f64 {
        self.micros.len() as f64 / self.seconds.max(1e-9)
    }

    /// The latency that this share of the operations did not exceed, in milliseconds.
    fn percentile(&self, share: f64) -> f64 {
        let last = self.micros.len().saturating_sub(1);
        let at = (last as f64 * share).round() as usize;
        self.micros
            .get(at)
            .map_or(0.0, |&micros| f64::from(micros) / 1000.0)
    }

    /// One line for people.
    pub(crate) fn text(&self) -> String {
        let mut line = format!(
            "{:<15} {:>4} clients {:>9} ops {:>11.1} ops/s   p50 {:>9.3} ms   p99 {:>9.3} ms   {:>8.1} MB/s",
            self.workload,
            self.clients,
            self.micros.len(),
            self.per_second(),
            self.percentile(0.5),
            self.percentile(0.99),
            self.octets as f64 / 1e6 / self.seconds.max(1e-9),
        );
        for (name, value, unit) in &self.extra {
            line.push_str(&format!("   {name} {value:.3} {unit}"));
        }
        line
    }

    /// One line for programs.
    pub(crate) fn json(&self) -> String {
        let mut line = format!(
            "{{\"workload\":\"{}\",\"clients\":{},\"seconds\":{:.3},\"ops\":{},\"ops_per_s\":{:.3},\"p50_ms\":{:.3},\"p99_ms\":{:.3},\"received_bytes\":{}",
            self.workload,
            self.clients,
            self.seconds,
            self.micros.len(),
            self.per_second(),
            self.percentile(0.5),
            self.percentile(0.99),
            self.octets,
        );
        for (name, value, unit) in &self.extra {
            line.push_str(&format!(",\"{name}_{unit}\":{value:.3}"));
        }
        line.push('}');
        line
    }
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
    }
}
