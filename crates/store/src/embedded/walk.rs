//! Walking the log group by group, and telling its end from damage.

use std::{io, path::PathBuf};

use super::{
    format::{GroupHeader, LogId},
    segments::{Found, SegmentReader},
};
use crate::error::Damage;

/// Why a walk ended before the log did.
#[derive(Debug)]
pub(crate) enum WalkError {
    Io(io::Error),
    Damage(Damage),
}

impl From<io::Error> for WalkError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Damage> for WalkError {
    fn from(damage: Damage) -> Self {
        Self::Damage(damage)
    }
}

/// Where the log ends, and what stands behind its last whole group.
#[derive(Debug)]
pub(crate) struct LogEnd {
    /// The last whole group; `None` for a log without any.
    pub(crate) last: Option<GroupHeader>,
    /// What a torn write left: segment, offset, end of the data.
    pub(crate) torn: Option<(u32, u64, u64)>,
}

/// Finds the end of the log: the last group whose every byte is there.
///
/// # Errors
/// [`WalkError::Damage`] if what follows the last whole group cannot be one torn write.
pub(crate) fn find_end(
    dir: &std::path::Path,
    log: LogId,
    numbers: &[u32],
) -> Result<LogEnd, WalkError> {
    let mut torn = None;
    for number in numbers.iter().rev() {
        let segment = SegmentReader::open(dir, *number, log)?;
        if let Found::Group(first) = segment.header(0)? {
            let (last, tear) = end_of_segment(&segment, first)?;
            let Some(last) = last else {
                // The only group of this segment is torn: the log ends in the one before.
                one_tear(&segment, &mut torn, tear, 0)?;
                continue;
            };
            one_tear(&segment, &mut torn, tear, last.last())?;
            return Ok(LogEnd {
                last: Some(last),
                torn,
            });
        }
        if let Some(later) = segment.find_group(0)? {
            let mut damage = segment.damage(0, "no group at the beginning", 0);
            damage.next_good = Some(later.first);
            return Err(damage.into());
        }
        // Allocated, and at most one torn group was written to it.
        let end = segment.end_of_data(0)?;
        one_tear(&segment, &mut torn, (end > 0).then_some((0, end)), 0)?;
    }
    Ok(LogEnd { last: None, torn })
}

/// Only one write was in flight, so there is at most one tear.
fn one_tear(
    segment: &SegmentReader,
    torn: &mut Option<(u32, u64, u64)>,
    tear: Option<(u64, u64)>,
    last_good: u64,
) -> Result<(), Damage> {
    let Some((offset, end)) = tear else {
        return Ok(());
    };
    if torn.is_some() {
        return Err(segment.damage(offset, "two torn groups", last_good));
    }
    *torn = Some((segment.number, offset, end));
    Ok(())
}

type Tear = Option<(u64, u64)>;

/// The last whole group of the last segment that has one, and the tear behind it.
fn end_of_segment(
    segment: &SegmentReader,
    first: GroupHeader,
) -> Result<(Option<GroupHeader>, Tear), WalkError> {
    let mut before: Option<GroupHeader> = None;
    let mut group = first;
    loop {
        match segment.header(group.end())? {
            Found::Group(next) => {
                check_follows(segment, &group, &next)?;
                before = Some(std::mem::replace(&mut group, next));
            }
            found => {
                // The group's header is the last one; is its body whole?
                if !segment.body_is_whole(&group)? {
                    let last_good = before
                        .as_ref()
                        .map_or(group.first.saturating_sub(1), |b| b.last());
                    if let Some(later) = segment.find_group(group.end())? {
                        let mut damage = segment.damage(
                            group.offset,
                            "a group with a wrong checksum",
                            last_good,
                        );
                        damage.next_good = Some(later.first);
                        return Err(damage.into());
                    }
                    let end = segment.end_of_data(group.offset)?;
                    return Ok((before, Some((group.offset, end))));
                }
                if let Some(later) = segment.find_group(group.end())? {
                    let reason = match found {
                        Found::Other(reason) => reason,
                        _ => "a hole",
                    };
                    let mut damage = segment.damage(group.end(), reason, group.last());
                    damage.next_good = Some(later.first);
                    return Err(damage.into());
                }
                let end = segment.end_of_data(group.end())?;
                if end == group.end() {
                    return Ok((Some(group), None));
                }
                if group.clean {
                    let reason = "something behind the end of the log";
                    return Err(segment.damage(group.end(), reason, group.last()).into());
                }
                let tear = Some((group.end(), end));
                return Ok((Some(group), tear));
            }
        }
    }
}

/// Whether a group is the one that was written after another.
pub(crate) fn check_follows(
    segment: &SegmentReader,
    group: &GroupHeader,
    next: &GroupHeader,
) -> Result<(), Damage> {
    let gap = !next.begins_epoch && next.first != group.last().saturating_add(1);
    if next.previous == group.crc && !gap {
        return Ok(());
    }
    let mut damage = segment.damage(
        next.offset,
        "a group that does not follow the one before it",
        group.last(),
    );
    damage.next_good = Some(next.first);
    Err(damage)
}

/// Walks the groups from the one that has a commit (or the first one after it) up to the end that
/// [`find_end`] found.
pub(crate) struct Walk<'a> {
    dir: PathBuf,
    log: LogId,
    numbers: &'a [u32],
    end: &'a GroupHeader,
    segment: SegmentReader,
    offset: u64,
    before: Option<GroupHeader>,
    done: bool,
}

impl<'a> Walk<'a> {
    /// Begins in the last segment that begins at or before `commit`. `None` if the log's first group
    /// is later: what is asked for is not in the log any more.
    pub(crate) fn from_commit(
        dir: &std::path::Path,
        log: LogId,
        numbers: &'a [u32],
        end: &'a GroupHeader,
        commit: u64,
    ) -> Result<Option<Self>, WalkError> {
        for number in numbers.iter().rev() {
            if *number > end.segment {
                continue;
            }
            let segment = SegmentReader::open(dir, *number, log)?;
            match segment.header(0)? {
                Found::Group(first) if first.first <= commit => {
                    return Ok(Some(Self {
                        dir: dir.to_path_buf(),
                        log,
                        numbers,
                        end,
                        segment,
                        offset: 0,
                        before: None,
                        done: false,
                    }));
                }
                Found::Group(_) => {}
                Found::Nothing => {
                    return Err(segment.damage(0, "no group at the beginning", 0).into());
                }
                Found::Other(reason) => return Err(segment.damage(0, reason, 0).into()),
            }
        }
        Ok(None)
    }

    /// The segment of the group that [`Walk::next`] returned last.
    pub(crate) fn segment(&self) -> &SegmentReader {
        &self.segment
    }

    /// The next group.
    pub(crate) fn next(&mut self) -> Result<Option<GroupHeader>, WalkError> {
        if self.done {
            return Ok(None);
        }
        loop {
            match self.segment.header(self.offset)? {
                Found::Group(group) => {
                    if let Some(before) = &self.before {
                        check_follows(&self.segment, before, &group)?;
                    }
                    self.offset = group.end();
                    self.done =
                        group.segment == self.end.segment && group.offset == self.end.offset;
                    self.before = Some(group.clone());
                    return Ok(Some(group));
                }
                found => self.next_segment(found)?,
            }
        }
    }

    fn next_segment(&mut self, found: Found) -> Result<(), WalkError> {
        let last_good = self.before.as_ref().map_or(0, GroupHeader::last);
        let reason = match found {
            Found::Other(reason) => Some(reason),
            _ => None,
        };
        if let Some(later) = self.segment.find_group(self.offset)? {
            let reason = reason.unwrap_or("a hole");
            let mut damage = self.segment.damage(self.offset, reason, last_good);
            damage.next_good = Some(later.first);
            return Err(damage.into());
        }
        let next = self
            .numbers
            .iter()
            .find(|number| **number > self.segment.number);
        let Some(next) = next.filter(|number| **number <= self.end.segment) else {
            let reason = reason.unwrap_or("the log ends too early");
            return Err(self.segment.damage(self.offset, reason, last_good).into());
        };
        let segment = SegmentReader::open(&self.dir, *next, self.log)?;
        // Whatever stands behind the last group here, the next one says whether it was the last.
        if let (Found::Group(first), Some(before)) = (segment.header(0)?, &self.before) {
            check_follows(&segment, before, &first).map_err(|mut damage| {
                damage.segment = self.segment.number;
                damage.offset = self.offset;
                damage.reason = reason.unwrap_or("groups are missing").into();
                damage
            })?;
        } else if segment
            .header(0)
            .is_ok_and(|found| !matches!(found, Found::Group(_)))
        {
            return Err(segment
                .damage(0, "no group at the beginning", last_good)
                .into());
        }
        self.segment = segment;
        self.offset = 0;
        Ok(())
    }
}
