//! Dates of header fields (RFC 5322 §3.3, §4.3).

/// The moment of a Date field, and the zone it was written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SentDate {
    /// Seconds since 1970-01-01 00:00:00 UTC.
    pub unix_s: i64,
    /// Minutes that the writer's clock is ahead of UTC.
    pub zone_minutes: i16,
}

impl SentDate {
    /// Days since 1970-01-01 on the writer's calendar: what SENTON, SENTBEFORE and SENTSINCE
    /// compare, "disregarding time and timezone" (RFC 9051 §6.4.4).
    pub fn local_day(&self) -> i64 {
        (self.unix_s + i64::from(self.zone_minutes) * 60).div_euclid(86_400)
    }
}

/// Reads a Date field; `None` if there is no valid date in it.
///
/// An invalid time counts as 00:00:00 and an invalid zone as UTC (RFC 5256 §2.2).
pub fn parse_date(value: &[u8]) -> Option<SentDate> {
    let mut scanner = Scanner { rest: value };
    scanner.separators();
    let mut month = None;
    for _ in 0..2 {
        // The name of the day says nothing; a month may stand first (ctime has it so).
        if month.is_none() && scanner.rest.first().is_some_and(u8::is_ascii_alphabetic) {
            month = month_number(scanner.letters());
            scanner.separators();
        }
    }
    let (day, _) = scanner.digits()?;
    scanner.separators();
    let mut year = None;
    let is_ctime = month.is_some();
    let month = match month {
        Some(month) => month,
        None => {
            let month = month_number(scanner.letters())?;
            scanner.separators();
            year = Some(scanner.year()?);
            month
        }
    };
    scanner.space();
    let time = scanner.time().unwrap_or(0);
    scanner.space();
    let mut zone = scanner.zone();
    if is_ctime {
        scanner.space();
        year = Some(scanner.year()?);
        scanner.space();
        zone = zone.or_else(|| scanner.zone());
    }
    let zone = zone.unwrap_or(0);
    let days = days_since_1970(year?, month, day)?;
    Some(SentDate {
        unix_s: days * 86_400 + time - i64::from(zone) * 60,
        zone_minutes: zone,
    })
}

struct Scanner<'a> {
    rest: &'a [u8],
}

impl<'a> Scanner<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken
    }

    fn take_while(&mut self, wanted: impl Fn(&u8) -> bool) -> &'a [u8] {
        self.take(
            self.rest
                .iter()
                .position(|byte| !wanted(byte))
                .unwrap_or(self.rest.len()),
        )
    }

    /// White space and comments.
    fn space(&mut self) {
        let mut depth = 0_u64;
        let mut at = 0;
        while let Some(&byte) = self.rest.get(at) {
            match byte {
                b'(' => depth += 1,
                b')' if depth > 0 => depth -= 1,
                _ if depth > 0 || byte.is_ascii_whitespace() => {}
                _ => break,
            }
            at += 1;
        }
        self.take(at);
    }

    /// What stands between day, month and year.
    fn separators(&mut self) {
        loop {
            self.space();
            if self
                .take_while(|byte| matches!(byte, b',' | b'-' | b'.' | b'/'))
                .is_empty()
            {
                return;
            }
        }
    }

    fn letters(&mut self) -> &'a [u8] {
        self.take_while(u8::is_ascii_alphabetic)
    }

    /// A number and its length; longer ones than any date has are none.
    fn digits(&mut self) -> Option<(i64, usize)> {
        let digits = self.take_while(u8::is_ascii_digit);
        let number = std::str::from_utf8(digits).ok()?.parse().ok();
        number
            .filter(|_| digits.len() <= 9)
            .map(|number| (number, digits.len()))
    }

    /// A year; those of two and three digits by RFC 5322 §4.3.
    fn year(&mut self) -> Option<i64> {
        match self.digits()? {
            (year @ 0..50, 2) => Some(2000 + year),
            (year, 2 | 3) => Some(1900 + year),
            (year, 4) => Some(year),
            _ => None,
        }
    }

    /// `hour ":" minute [":" second]` in seconds; takes the word also if it is none.
    fn time(&mut self) -> Option<i64> {
        if !self.rest.first()?.is_ascii_digit() {
            return None;
        }
        let mut fields = [0; 3];
        let mut count = 0;
        for field in &mut fields {
            *field = self.digits()?.0;
            count += 1;
            self.space();
            if self.rest.first() != Some(&b':') {
                break;
            }
            self.take(1);
            self.space();
        }
        let [hour, minute, second] = fields;
        let is_valid = count >= 2 && hour < 24 && minute < 60 && second <= 60;
        // A leap second is told apart by nobody.
        is_valid.then_some(hour * 3600 + minute * 60 + second.min(59))
    }

    /// A zone in minutes; `None` if there is none that can be read.
    fn zone(&mut self) -> Option<i16> {
        match self.rest.first()? {
            sign @ (b'+' | b'-') => {
                self.take(1);
                let (number, length) = self.digits()?;
                let (hours, minutes) = (number / 100, number % 100);
                let zone = i16::try_from(hours * 60 + minutes).ok()?;
                let is_valid = length == 4 && hours < 24 && minutes < 60;
                is_valid.then_some(if *sign == b'-' { -zone } else { zone })
            }
            byte if byte.is_ascii_alphabetic() => zone_name(self.letters()),
            _ => None,
        }
    }
}

/// `obs-zone` (RFC 5322 §4.3); the military letters say nothing reliable and count as UTC.
fn zone_name(name: &[u8]) -> Option<i16> {
    let hours = match &name.to_ascii_uppercase()[..] {
        b"UT" | b"GMT" | b"UTC" | b"Z" => 0,
        b"EDT" => -4,
        b"EST" | b"CDT" => -5,
        b"CST" | b"MDT" => -6,
        b"MST" | b"PDT" => -7,
        b"PST" => -8,
        _ => return None,
    };
    Some(hours * 60)
}

fn month_number(name: &[u8]) -> Option<i64> {
    const MONTHS: [&str; 12] = [
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ];
    let name = name.get(..3)?;
    let at = MONTHS
        .iter()
        .position(|month| name.eq_ignore_ascii_case(month.as_bytes()))?;
    Some(at as i64 + 1)
}

/// Days from 1970-01-01 to a date of the Gregorian calendar; `None` if there is no such day.
fn days_since_1970(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    // Years that begin in March put the leap day at the end.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let before_year = year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    Some(before_year + (month * 153 + 2) / 5 + day - 1 - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        let cases = [
            ("Thu, 01 Jan 1970 00:00:00 +0000", Some((0, 0))),
            // RFC 5256 §2.2
            ("31 Dec 2000 16:01:33 -0800", Some((978_307_293, -480))),
            (
                "Wed, 17 Jul 1996 02:23:25 -0700 (PDT)",
                Some((837_595_405, -420)),
            ),
            (
                "Fri, 21 Nov 1997 09(comment):   55  :  06 -0600",
                Some((880_127_706, -360)),
            ),
            // RFC 5322 appendix A.6.2 and §4.3
            ("21 Nov 97 09:55:06 GMT", Some((880_106_106, 0))),
            ("21 Nov 97 09:55:06 EST", Some((880_124_106, -300))),
            ("21 Nov 102 09:55:06 Z", Some((1_037_872_506, 0))),
            ("1 Jan 49 00:00 UT", Some((2_493_072_000, 0))),
            ("1 Jan 50 00:00 UT", Some((-631_152_000, 0))),
            ("29 Feb 2024 23:59:60 +0530", Some((1_709_231_399, 330))),
            ("Sat,3 aug 2019 1:02:03 X", Some((1_564_794_123, 0))),
            ("17-Jul-1996 02:44:25 -0700", Some((837_596_665, -420))),
            ("Wed Jul 17 02:23:25 1996", Some((837_570_205, 0))),
            ("Wed Jul 17 02:23:25 PDT 1996", Some((837_595_405, -420))),
            (
                "Monday, 3 August 2020 10:00:00 +0000",
                Some((1_596_448_800, 0)),
            ),
            // RFC 5256 §2.2: invalid zone, invalid time.
            ("1 Jan 1970 00:01 +9999", Some((60, 0))),
            ("1 Jan 1970 25:00:00 +0100", Some((-3600, 60))),
            ("1 Jan 1970", Some((0, 0))),
            ("29 Feb 2023 00:00 +0000", None),
            ("31 Foo 2023 00:00 +0000", None),
            ("0 Jan 2023 00:00 +0000", None),
            ("1 Jan 20230 00:00", None),
            ("99999999999999999999 Jan 2023", None),
            ("(((((", None),
            ("", None),
            ("yesterday", None),
        ];
        for (text, expected) in cases {
            let found = parse_date(text.as_bytes());
            assert_eq!(
                found.map(|date| (date.unix_s, date.zone_minutes)),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn the_local_day_is_the_writers() {
        let date = parse_date(b"31 Dec 1970 23:30:00 -0800").expect("a date");
        assert_eq!(date.local_day(), 364);
        let date = parse_date(b"1 Jan 1970 00:30:00 +0800").expect("a date");
        assert_eq!(date.local_day(), 0);
    }

    #[test]
    fn days_are_those_of_a_count() {
        let mut count = days_since_1970(1600, 1, 1).expect("a day");
        for year in 1600..2400 {
            for month in 1..=12 {
                for day in 1..=31 {
                    if let Some(days) = days_since_1970(year, month, day) {
                        assert_eq!(days, count, "{year}-{month}-{day}");
                        count += 1;
                    }
                }
            }
        }
        assert_eq!(days_since_1970(1970, 1, 1), Some(0));
    }
}
