//! What a process and all that it started have used, from /proc.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

/// Memory and processor time of a tree of processes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// Proportional set size, in octets: shared pages count once.
    pub(crate) memory: u64,
    /// Of those that live, and of those that were waited for.
    pub(crate) cpu: Duration,
}

/// A process, and its descendants. Zero where there is no such process.
pub(crate) fn of_tree(pid: u32, with_memory: bool) -> Usage {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(child) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        if let Some(parent) = stat(child).and_then(|fields| fields.first().copied()) {
            children.entry(parent as u32).or_default().push(child);
        }
    }
    let (mut usage, mut todo) = (Usage::default(), vec![pid]);
    while let Some(pid) = todo.pop() {
        if with_memory {
            usage.memory += pss(pid).unwrap_or(0);
        }
        // utime, stime, cutime, cstime, in hundredths of a second on Linux.
        let ticks: u64 = stat(pid)
            .and_then(|f| Some(f.get(10..14)?.iter().sum()))
            .unwrap_or(0);
        usage.cpu += Duration::from_millis(ticks * 10);
        todo.extend(children.remove(&pid).unwrap_or_default());
    }
    usage
}

/// Processor time that this process has used.
pub(crate) fn own_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// The numbers of /proc/PID/stat from the parent's on.
fn stat(pid: u32) -> Option<Vec<u64>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold spaces; after it comes a letter.
    let fields = stat.rsplit_once(')')?.1.split_whitespace().skip(1);
    Some(fields.map(|field| field.parse().unwrap_or(0)).collect())
}

fn pss(pid: u32) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = rollup.lines().find(|line| line.starts_with("Pss:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_process_uses_memory_and_time() {
        let start = std::time::Instant::now();
        while start.elapsed().as_millis() < 60 {}
        assert!(super::own_time().as_millis() >= 10);
        let usage = super::of_tree(std::process::id(), true);
        assert!(usage.memory > 100_000);
        assert!(usage.cpu.as_millis() >= 10, "{usage:?}");
    }
}
