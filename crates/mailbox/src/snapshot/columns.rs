//! The two parts of a chunk: columns that never change while its messages are there, and those that
//! do.

use std::{
    collections::HashMap,
    ops::{Range, RangeInclusive},
};

use bytes::Bytes;

use super::{
    access::Number,
    column::{Column, runs},
    packed::{pack, unpack},
    summary::Summary,
};
use crate::{
    codec::{DecodeError, Decoded, Reader, put_u128, put_varint, seal, unseal},
    flags::Flags,
    types::{DateTime, EmailId, ModSeq, Row, Uid},
};

/// The most rows of a chunk. Few in this crate's own tests, so that a small mailbox has many chunks.
pub(super) const CHUNK_ROWS_MAX: usize = if cfg!(test) { 16 } else { 1024 };

const VERSION: u8 = 1;

/// UID, email, size and dates of the rows of a chunk.
#[derive(Debug)]
pub(super) struct Fixed {
    rows: usize,
    uid: Column,
    email: Column,
    size: Column,
    date_s: Column,
    zone_min: Column,
    save_date_s: Column,
}

impl Fixed {
    pub(super) fn new(rows: &[Row]) -> Self {
        let mut values = Vec::with_capacity(rows.len());
        let mut column = |value: fn(&Row) -> i64| {
            values.clear();
            values.extend(rows.iter().map(value));
            Column::new(&values)
        };
        Self {
            rows: rows.len(),
            uid: column(|row| row.uid.get().into()),
            email: column(|row| row.email.0 as i64),
            size: column(|row| row.size as i64),
            date_s: column(|row| row.internal_date.unix_s),
            zone_min: column(|row| row.internal_date.zone_min.into()),
            save_date_s: column(|row| row.save_date_s),
        }
    }

    pub(super) fn extended(&self, rows: &[Row]) -> Self {
        let mut values = Vec::with_capacity(rows.len());
        let mut extended = |column: &Column, value: fn(&Row) -> i64| {
            values.clear();
            values.extend(rows.iter().map(value));
            column.extended(self.rows, &values)
        };
        Self {
            rows: self.rows + rows.len(),
            uid: extended(&self.uid, |row| row.uid.get().into()),
            email: extended(&self.email, |row| row.email.0 as i64),
            size: extended(&self.size, |row| row.size as i64),
            date_s: extended(&self.date_s, |row| row.internal_date.unix_s),
            zone_min: extended(&self.zone_min, |row| row.internal_date.zone_min.into()),
            save_date_s: extended(&self.save_date_s, |row| row.save_date_s),
        }
    }

    pub(super) fn uid(&self, index: usize) -> Uid {
        uid(self.uid.at(index))
    }

    /// The first row whose UID is not below `uid`.
    pub(super) fn lower_bound(&self, uid: Uid) -> usize {
        self.uid.lower_bound(self.rows, uid.get().into())
    }

    /// The row with this UID.
    pub(super) fn find(&self, uid: Uid) -> Option<usize> {
        let index = self.lower_bound(uid);
        (index < self.rows && self.uid(index) == uid).then_some(index)
    }

    /// Whether no UID is missing between the first and the last.
    pub(super) fn is_dense(&self) -> bool {
        matches!(self.uid, Column::Run { step: 1, .. }) || self.rows == 1
    }

    /// Calls `each` with the UIDs in `range`, and their places counted from the start of the range.
    #[inline]
    pub(super) fn each_uid(&self, range: Range<usize>, mut each: impl FnMut(usize, Uid)) {
        self.uid.each(range, |place, value| each(place, uid(value)));
    }

    /// Calls `each` with the places whose number lies in `range`: runs of them.
    pub(super) fn places_in(
        &self,
        number: Number,
        range: &RangeInclusive<i64>,
        each: impl FnMut(Range<usize>),
    ) {
        let column = match number {
            Number::Size => &self.size,
            Number::SaveDate => &self.save_date_s,
            Number::InternalDate => &self.date_s,
            Number::LocalDate => match self.zone_min.constant() {
                Some(zone) => {
                    let (low, high) = (*range.start(), *range.end());
                    let utc = low.saturating_sub(zone * 60)..=high.saturating_sub(zone * 60);
                    // The ends are not seconds but no ends.
                    let low = if low == i64::MIN { low } else { *utc.start() };
                    let high = if high == i64::MAX { high } else { *utc.end() };
                    return self.date_s.places_in(self.rows, &(low..=high), each);
                }
                None => {
                    let local = |place| {
                        let zone = self.zone_min.at(place) * 60;
                        range.contains(&self.date_s.at(place).saturating_add(zone))
                    };
                    return runs((0..self.rows).map(local), each);
                }
            },
        };
        column.places_in(self.rows, range, each);
    }

    /// Fills the fixed columns of the rows from `start` on.
    #[inline]
    pub(super) fn fill(&self, start: usize, rows: &mut [Row]) {
        let range = start..start + rows.len();
        self.uid
            .each(range.clone(), |place, value| rows[place].uid = uid(value));
        self.email.each(range.clone(), |place, value| {
            rows[place].email = EmailId(value as u64)
        });
        self.size.each(range.clone(), |place, value| {
            rows[place].size = value as u64
        });
        let zone = |value| value as i16;
        self.date_s.each(range.clone(), |place, value| {
            rows[place].internal_date.unix_s = value
        });
        self.zone_min.each(range.clone(), |place, value| {
            rows[place].internal_date.zone_min = zone(value)
        });
        self.save_date_s
            .each(range, |place, value| rows[place].save_date_s = value);
    }

    #[inline]
    pub(super) fn row(&self, index: usize, flags: Flags, modseq: ModSeq) -> Row {
        Row {
            uid: self.uid(index),
            email: EmailId(self.email.at(index) as u64),
            size: self.size.at(index) as u64,
            internal_date: DateTime {
                unix_s: self.date_s.at(index),
                zone_min: self.zone_min.at(index) as i16,
            },
            save_date_s: self.save_date_s.at(index),
            flags,
            modseq,
        }
    }

    pub(super) fn encode(&self) -> Bytes {
        let mut out = vec![VERSION];
        self.write(&mut out);
        seal(out)
    }

    /// Columns that follow from each other are stored as differences: a message is mostly saved when
    /// its email was made, and dated a little before.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        self.uid.read(self.rows, &mut a);
        pack(&a, out);
        self.email.read(self.rows, &mut a);
        b.extend(a.iter().map(|email| email & EMAIL_LOW));
        a.iter_mut().for_each(|email| *email = email_ms(*email));
        pack(&a, out);
        pack(&b, out);
        self.save_date_s.read(self.rows, &mut b);
        let since_email = a
            .iter()
            .zip(&b)
            .map(|(ms, save)| save.wrapping_sub(ms / 1000));
        pack(&since_email.collect::<Vec<_>>(), out);
        self.date_s.read(self.rows, &mut a);
        a.iter_mut()
            .zip(&b)
            .for_each(|(date, save)| *date = date.wrapping_sub(*save));
        pack(&a, out);
        self.zone_min.read(self.rows, &mut a);
        pack(&a, out);
        self.size.read(self.rows, &mut a);
        pack(&a, out);
    }

    pub(super) fn decode(bytes: &[u8], summary: &Summary) -> Result<Self, DecodeError> {
        let what = "fixed part of a chunk";
        let mut reader = Reader::new(what, unseal(what, bytes)?);
        if reader.u8()? != VERSION {
            return Err(reader.damaged());
        }
        let fixed = Self::read(&mut reader, summary.rows as usize)?;
        reader.end()?;
        let ends = (fixed.uid(0), fixed.uid(fixed.rows - 1));
        if ends != (summary.first, summary.last) || fixed.size_sum() != summary.size {
            return Err(reader.damaged());
        }
        Ok(fixed)
    }

    /// Reads `rows` rows, of which the UIDs ascend.
    pub(super) fn read(reader: &mut Reader<'_>, rows: usize) -> Decoded<Self> {
        if rows == 0 || rows > CHUNK_ROWS_MAX {
            return Err(reader.damaged());
        }
        let (mut a, mut b) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        unpack(reader, rows, &mut a)?;
        let in_range = |uid: &i64| (1..=i64::from(u32::MAX)).contains(uid);
        if !a.iter().all(in_range) || !a.is_sorted_by(|a, b| a < b) {
            return Err(reader.damaged());
        }
        let uid = Column::new(&a);
        unpack(reader, rows, &mut a)?;
        unpack(reader, rows, &mut b)?;
        let whole = |(ms, low): (&i64, &i64)| (ms << EMAIL_LOW_BITS) | (low & EMAIL_LOW);
        let email = Column::new(&a.iter().zip(&b).map(whole).collect::<Vec<_>>());
        unpack(reader, rows, &mut b)?;
        let ms = a.iter().map(|ms| email_ms(ms << EMAIL_LOW_BITS));
        b.iter_mut()
            .zip(ms)
            .for_each(|(save, ms)| *save = save.wrapping_add(ms / 1000));
        let save_date_s = Column::new(&b);
        unpack(reader, rows, &mut a)?;
        a.iter_mut()
            .zip(&b)
            .for_each(|(date, save)| *date = date.wrapping_add(*save));
        let date_s = Column::new(&a);
        unpack(reader, rows, &mut a)?;
        if a.iter().any(|zone| i16::try_from(*zone).is_err()) {
            return Err(reader.damaged());
        }
        let zone_min = Column::new(&a);
        unpack(reader, rows, &mut a)?;
        let size = Column::new(&a);
        Ok(Self {
            rows,
            uid,
            email,
            size,
            date_s,
            zone_min,
            save_date_s,
        })
    }

    /// The sum of the sizes.
    fn size_sum(&self) -> u64 {
        let mut sum = 0_u64;
        self.size.each(0..self.rows, |_, size| {
            sum = sum.saturating_add(size as u64)
        });
        sum
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let columns = [
            &self.uid,
            &self.email,
            &self.size,
            &self.date_s,
            &self.zone_min,
            &self.save_date_s,
        ];
        size_of::<Self>()
            + columns
                .iter()
                .map(|column| column.heap_bytes())
                .sum::<usize>()
    }
}

const EMAIL_LOW_BITS: u32 = 22;
const EMAIL_LOW: i64 = (1 << EMAIL_LOW_BITS) - 1;

const fn email_ms(email: i64) -> i64 {
    (email as u64 >> EMAIL_LOW_BITS) as i64
}

/// Only for the values of a UID column, which were UIDs.
#[inline]
fn uid(value: i64) -> Uid {
    Uid::new(value as u32).unwrap_or(Uid::MAX)
}

/// Flags and modseqs of the rows of a chunk. Flags are few words, named by their place in `words`.
#[derive(Debug)]
pub(super) struct Mutable {
    rows: usize,
    words: Box<[Flags]>,
    word: Column,
    modseq: Column,
}

impl Mutable {
    pub(super) fn new(rows: &[Row]) -> Self {
        let mut words = Words::default();
        let word: Vec<_> = rows.iter().map(|row| words.place(row.flags)).collect();
        let modseq: Vec<_> = rows.iter().map(|row| row.modseq.0 as i64).collect();
        Self {
            rows: rows.len(),
            words: words.words.into(),
            word: Column::new(&word),
            modseq: Column::new(&modseq),
        }
    }

    pub(super) fn extended(&self, rows: &[Row]) -> Self {
        let mut words = Words::from(&self.words);
        let word: Vec<_> = rows.iter().map(|row| words.place(row.flags)).collect();
        let modseq: Vec<_> = rows.iter().map(|row| row.modseq.0 as i64).collect();
        Self {
            rows: self.rows + rows.len(),
            words: words.words.into(),
            word: self.word.extended(self.rows, &word),
            modseq: self.modseq.extended(self.rows, &modseq),
        }
    }

    #[inline]
    pub(super) fn flags(&self, index: usize) -> Flags {
        self.words[self.word.at(index) as usize]
    }

    #[inline]
    pub(super) fn modseq(&self, index: usize) -> ModSeq {
        ModSeq(self.modseq.at(index) as u64)
    }

    /// Fills the mutable columns of the rows from `start` on.
    #[inline]
    pub(super) fn fill(&self, start: usize, rows: &mut [Row]) {
        let range = start..start + rows.len();
        let words = &*self.words;
        self.word.each(range.clone(), |place, word| {
            rows[place].flags = words[word as usize]
        });
        self.modseq.each(range, |place, modseq| {
            rows[place].modseq = ModSeq(modseq as u64)
        });
    }

    /// The flag words of the rows, each once.
    pub(super) fn words(&self) -> &[Flags] {
        &self.words
    }

    /// Calls `each` with the places in [`Mutable::words`] of the rows in `range`, and the rows' places
    /// counted from the start of the range.
    #[inline]
    pub(super) fn each_word(&self, range: Range<usize>, mut each: impl FnMut(usize, usize)) {
        self.word
            .each(range, |place, word| each(place, word as usize));
    }

    /// Calls `each` with the modseqs of the rows in `range`, likewise.
    #[inline]
    pub(super) fn each_modseq(&self, range: Range<usize>, mut each: impl FnMut(usize, ModSeq)) {
        self.modseq
            .each(range, |place, modseq| each(place, ModSeq(modseq as u64)));
    }

    /// With `flags & !clear | set` in the rows of `ranges`; none if that changes nothing. A row and its
    /// modseq change only if its flags change: this is frozen.
    pub(super) fn with_flags(
        &self,
        ranges: impl Iterator<Item = Range<usize>>,
        clear: Flags,
        set: Flags,
        modseq: ModSeq,
    ) -> Option<Self> {
        let mut words = Words::from(&self.words);
        let changed = |old: &Flags| old.without(clear) | set;
        let to: Vec<i64> = self
            .words
            .iter()
            .map(|old| words.place(changed(old)))
            .collect();
        let same = |(from, to): (usize, &i64)| from as i64 == *to;
        if to.iter().enumerate().all(same) {
            return None;
        }
        let (mut word, mut modseqs) = (Vec::new(), Vec::new());
        let mut any = false;
        for range in ranges {
            if word.is_empty() {
                word.reserve(self.rows);
                self.word.read(self.rows, &mut word);
                modseqs.reserve(self.rows);
                self.modseq.read(self.rows, &mut modseqs);
            }
            for (word, at) in word[range.clone()].iter_mut().zip(&mut modseqs[range]) {
                let new = to[*word as usize];
                if new != *word {
                    (*word, *at) = (new, modseq.0 as i64);
                    any = true;
                }
            }
        }
        any.then(|| {
            let words = compact(&words.words, &mut word);
            let (word, modseq) = (Column::new(&word), Column::new(&modseqs));
            Self {
                rows: self.rows,
                words,
                word,
                modseq,
            }
        })
    }

    /// With this modseq in every row.
    pub(super) fn touched(&self, modseq: ModSeq) -> Self {
        Self {
            rows: self.rows,
            words: self.words.clone(),
            word: self.word.clone(),
            modseq: Column::new(&[modseq.0 as i64]),
        }
    }

    /// The summary of what this part knows; `summary` gives the rest.
    pub(super) fn summary(&self, summary: &Summary) -> Summary {
        let mut counts = vec![0_u32; self.words.len()];
        self.word
            .each(0..self.rows, |_, word| counts[word as usize] += 1);
        let mut modseq = 0;
        self.modseq
            .each(0..self.rows, |_, value| modseq = modseq.max(value));
        let count = |passes: fn(&Flags) -> bool| {
            let passing = self
                .words
                .iter()
                .zip(&counts)
                .filter(|(flags, _)| passes(flags));
            passing.map(|(_, count)| count).sum()
        };
        Summary {
            unseen: count(|flags| !flags.contains(Flags::SEEN)),
            deleted: count(|flags| flags.contains(Flags::DELETED)),
            modseq: ModSeq(modseq as u64),
            any: self.words.iter().copied().collect(),
            all: self
                .words
                .iter()
                .fold(Flags::ALL, |all, flags| all & *flags),
            ..*summary
        }
    }

    pub(super) fn encode(&self) -> Bytes {
        let mut out = vec![VERSION];
        self.write(&mut out);
        seal(out)
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        self.write_flags(out);
        let mut values = Vec::new();
        self.modseq.read(self.rows, &mut values);
        pack(&values, out);
    }

    pub(super) fn write_flags(&self, out: &mut Vec<u8>) {
        put_varint(out, self.words.len() as u64);
        self.words.iter().for_each(|flags| put_u128(out, flags.0));
        let mut values = Vec::new();
        self.word.read(self.rows, &mut values);
        pack(&values, out);
    }

    pub(super) fn decode(bytes: &[u8], summary: &Summary) -> Result<Self, DecodeError> {
        let what = "mutable part of a chunk";
        let mut reader = Reader::new(what, unseal(what, bytes)?);
        if reader.u8()? != VERSION {
            return Err(reader.damaged());
        }
        let rows = summary.rows as usize;
        let (words, word) = Self::read_flags(&mut reader, rows)?;
        let mut values = Vec::with_capacity(rows);
        unpack(&mut reader, rows, &mut values)?;
        reader.end()?;
        let modseq = Column::new(&values);
        let mutable = Self {
            rows,
            words,
            word,
            modseq,
        };
        // A negative modseq would be too large a one.
        if values.iter().any(|modseq| *modseq < 0) || mutable.summary(summary) != *summary {
            return Err(reader.damaged());
        }
        Ok(mutable)
    }

    pub(super) fn read_flags(
        reader: &mut Reader<'_>,
        rows: usize,
    ) -> Decoded<(Box<[Flags]>, Column)> {
        let count = reader.count()?;
        if count == 0 || count > rows || rows > CHUNK_ROWS_MAX {
            return Err(reader.damaged());
        }
        let words = (0..count)
            .map(|_| reader.u128().map(Flags))
            .collect::<Decoded<_>>()?;
        let mut values = Vec::with_capacity(rows);
        unpack(reader, rows, &mut values)?;
        let in_range = |word: &i64| (0..count as i64).contains(word);
        if !values.iter().all(in_range) {
            return Err(reader.damaged());
        }
        Ok((words, Column::new(&values)))
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let columns = self.word.heap_bytes() + self.modseq.heap_bytes();
        size_of::<Self>() + size_of_val(&*self.words) + columns
    }
}

/// Rows as a record names them, without modseqs.
pub(super) fn write_block(rows: &[Row], out: &mut Vec<u8>) {
    put_varint(out, rows.len() as u64);
    Fixed::new(rows).write(out);
    Mutable::new(rows).write_flags(out);
}

/// Appends the rows of a block to `rows`, with modseq 0.
pub(super) fn read_block(reader: &mut Reader<'_>, rows: &mut Vec<Row>) -> Decoded<()> {
    let count = reader.count_up_to(CHUNK_ROWS_MAX)?;
    let fixed = Fixed::read(reader, count)?;
    let (words, word) = Mutable::read_flags(reader, count)?;
    rows.extend((0..count).map(|index| {
        let flags = words[word.at(index) as usize];
        fixed.row(index, flags, ModSeq::ZERO)
    }));
    Ok(())
}

/// Drops the words that no row has.
fn compact(words: &[Flags], word: &mut [i64]) -> Box<[Flags]> {
    let mut to = vec![-1; words.len()];
    let mut kept = Vec::with_capacity(words.len());
    for word in word {
        let to = &mut to[*word as usize];
        if *to < 0 {
            *to = kept.len() as i64;
            kept.push(words[*word as usize]);
        }
        *word = *to;
    }
    kept.into()
}

/// Flag words while there are new ones.
#[derive(Default)]
struct Words {
    words: Vec<Flags>,
    /// Only when there are too many to look through.
    places: HashMap<Flags, i64>,
}

impl Words {
    const SCANNED_MAX: usize = 16;

    fn from(words: &[Flags]) -> Self {
        let mut all = Self {
            words: words.to_vec(),
            places: HashMap::new(),
        };
        all.index();
        all
    }

    fn index(&mut self) {
        if self.words.len() > Self::SCANNED_MAX {
            let places = self.words.iter().copied().zip(0..);
            self.places = places.collect();
        }
    }

    fn place(&mut self, flags: Flags) -> i64 {
        let found = if self.places.is_empty() {
            let place = self.words.iter().position(|word| *word == flags);
            place.map(|place| place as i64)
        } else {
            self.places.get(&flags).copied()
        };
        found.unwrap_or_else(|| {
            let place = self.words.len() as i64;
            self.words.push(flags);
            if self.places.is_empty() {
                self.index();
            } else {
                self.places.insert(flags, place);
            }
            place
        })
    }
}
