//! Dates and times (RFC 9051 §2.3.3, §9: date, date-time).

use std::fmt;

/// A month of the year.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Month {
    January = 1,
    February,
    March,
    April,
    May,
    June,
    July,
    August,
    September,
    October,
    November,
    December,
}

const MONTHS: [(Month, &str); 12] = [
    (Month::January, "Jan"),
    (Month::February, "Feb"),
    (Month::March, "Mar"),
    (Month::April, "Apr"),
    (Month::May, "May"),
    (Month::June, "Jun"),
    (Month::July, "Jul"),
    (Month::August, "Aug"),
    (Month::September, "Sep"),
    (Month::October, "Oct"),
    (Month::November, "Nov"),
    (Month::December, "Dec"),
];

impl Month {
    /// The month for 1 to 12.
    pub fn new(number: u8) -> Option<Self> {
        MONTHS
            .get(usize::from(number).checked_sub(1)?)
            .map(|(month, _)| *month)
    }

    /// The month for its three letters, in any case.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        MONTHS
            .iter()
            .find(|(_, text)| text.as_bytes().eq_ignore_ascii_case(name))
            .map(|(month, _)| *month)
    }

    /// The three letters of the month.
    pub fn name(self) -> &'static str {
        MONTHS[self as usize - 1].1
    }

    /// 1 to 12.
    pub fn number(self) -> u8 {
        self as u8
    }
}

/// Numbers that are no day or no time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no such date or time")]
pub struct DateError;

/// A day, without a time or a zone (RFC 9051 §9, date).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Date {
    year: u16,
    month: Month,
    day: u8,
}

impl Date {
    /// The day, if there is one. Years run from 0 to 9999.
    pub fn new(year: u16, month: Month, day: u8) -> Result<Self, DateError> {
        let last = match month {
            Month::February if is_leap(i64::from(year)) => 29,
            Month::February => 28,
            Month::April | Month::June | Month::September | Month::November => 30,
            _ => 31,
        };
        if year > 9999 || day == 0 || day > last {
            return Err(DateError);
        }
        Ok(Self { year, month, day })
    }

    /// The year, 0 to 9999.
    pub fn year(self) -> u16 {
        self.year
    }

    /// The month.
    pub fn month(self) -> Month {
        self.month
    }

    /// The day of the month, from 1.
    pub fn day(self) -> u8 {
        self.day
    }

    /// Days since 1970-01-01 in the proleptic Gregorian calendar.
    pub fn days_since_epoch(self) -> i64 {
        // Years begin in March, so that the leap day comes last.
        let month = i64::from(self.month.number());
        let year = i64::from(self.year) - i64::from(month <= 2);
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + i64::from(self.day) - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        era * 146_097 + day_of_era - 719_468
    }

    /// The day that many days after 1970-01-01, if its year is 0 to 9999.
    pub fn from_days_since_epoch(days: i64) -> Option<Self> {
        if !(-719_528..=2_932_896).contains(&days) {
            return None;
        }
        let days = days + 719_468;
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 {
            shifted + 3
        } else {
            shifted - 9
        };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Self::new(
            u16::try_from(year).ok()?,
            Month::new(u8::try_from(month).ok()?)?,
            u8::try_from(day).ok()?,
        )
        .ok()
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{:04}", self.day, self.month.name(), self.year)
    }
}

/// A moment and the zone it was written in (RFC 9051 §9, date-time).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct DateTime {
    seconds: i64,
    zone_minutes: i16,
}

impl DateTime {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self {
        seconds: 0,
        zone_minutes: 0,
    };

    /// The moment `seconds` after 1970-01-01T00:00:00Z, as seen in a zone that is `zone_minutes`
    /// east of Greenwich (less than a day). Fails if its local year is not 0 to 9999.
    pub fn new(seconds: i64, zone_minutes: i16) -> Result<Self, DateError> {
        if !(-1439..=1439).contains(&zone_minutes) {
            return Err(DateError);
        }
        let local = seconds
            .checked_add(i64::from(zone_minutes) * 60)
            .ok_or(DateError)?;
        Date::from_days_since_epoch(local.div_euclid(86_400)).ok_or(DateError)?;
        Ok(Self {
            seconds,
            zone_minutes,
        })
    }

    /// The moment that clocks in the zone show as this date and time. A second of 60 (a leap
    /// second) is the first of the next minute.
    pub fn from_local(
        date: Date,
        (hour, minute, second): (u8, u8, u8),
        zone_minutes: i16,
    ) -> Result<Self, DateError> {
        if hour > 23 || minute > 59 || second > 60 {
            return Err(DateError);
        }
        let time = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
        let local = date.days_since_epoch() * 86_400 + time;
        Self::new(local - i64::from(zone_minutes) * 60, zone_minutes)
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    pub fn unix_seconds(self) -> i64 {
        self.seconds
    }

    /// Minutes east of Greenwich.
    pub fn zone_minutes(self) -> i16 {
        self.zone_minutes
    }

    /// The day that clocks in its zone show: the date that SEARCH compares, "disregarding time
    /// and timezone" (RFC 9051 §6.4.4).
    pub fn local_date(self) -> Date {
        let days = self.local_seconds().div_euclid(86_400);
        // `new` has checked that there is such a day.
        Date::from_days_since_epoch(days).unwrap_or(Date {
            year: 1970,
            month: Month::January,
            day: 1,
        })
    }

    /// Hour, minute and second that clocks in its zone show.
    pub fn local_time(self) -> (u8, u8, u8) {
        let time = self.local_seconds().rem_euclid(86_400);
        (
            (time / 3600) as u8,
            (time / 60 % 60) as u8,
            (time % 60) as u8,
        )
    }

    fn local_seconds(self) -> i64 {
        self.seconds + i64::from(self.zone_minutes) * 60
    }

    /// Appends the date-time as it is sent, in quotes: `"17-Jul-1996 02:44:25 -0700"`. The day
    /// has two places, the first may be a space.
    pub fn write(self, out: &mut Vec<u8>) {
        fn two(n: u8) -> [u8; 2] {
            [b'0' + n / 10 % 10, b'0' + n % 10]
        }
        let date = self.local_date();
        let (hour, minute, second) = self.local_time();
        let mut text = *b"\"dd-mmm-yyyy hh:mm:ss +hhmm\"";
        let day = two(date.day);
        text[1] = if day[0] == b'0' { b' ' } else { day[0] };
        text[2] = day[1];
        text[4..7].copy_from_slice(date.month.name().as_bytes());
        text[8..10].copy_from_slice(&two((date.year / 100) as u8));
        text[10..12].copy_from_slice(&two((date.year % 100) as u8));
        text[13..15].copy_from_slice(&two(hour));
        text[16..18].copy_from_slice(&two(minute));
        text[19..21].copy_from_slice(&two(second));
        let zone = self.zone_minutes.unsigned_abs();
        text[22] = if self.zone_minutes < 0 { b'-' } else { b'+' };
        text[23..25].copy_from_slice(&two((zone / 60) as u8));
        text[25..27].copy_from_slice(&two((zone % 60) as u8));
        out.extend_from_slice(&text);
    }
}

impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(28);
        self.write(&mut text);
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_days() {
        for (year, month, day, days) in [
            (1970, Month::January, 1, 0),
            (2000, Month::February, 29, 11_016),
            (1969, Month::December, 31, -1),
            (0, Month::January, 1, -719_528),
            (9999, Month::December, 31, 2_932_896),
        ] {
            let date = Date::new(year, month, day).unwrap();
            assert_eq!(date.days_since_epoch(), days);
            assert_eq!(Date::from_days_since_epoch(days), Some(date));
        }
        assert_eq!(Date::from_days_since_epoch(2_932_897), None);
        assert!(Date::new(1999, Month::February, 29).is_err());
        assert!(Date::new(1900, Month::February, 29).is_err());
        assert!(Date::new(1999, Month::April, 31).is_err());
        assert!(Date::new(1999, Month::April, 0).is_err());
    }

    #[test]
    fn known_moments() {
        let date = Date::new(1996, Month::July, 17).unwrap();
        let moment = DateTime::from_local(date, (2, 44, 25), -420).unwrap();
        assert_eq!(moment.unix_seconds(), 837_596_665);
        assert_eq!(moment.to_string(), "\"17-Jul-1996 02:44:25 -0700\"");
        let date = Date::new(2020, Month::May, 1).unwrap();
        let moment = DateTime::from_local(date, (0, 0, 0), 330).unwrap();
        assert_eq!(moment.to_string(), "\" 1-May-2020 00:00:00 +0530\"");
        assert!(DateTime::new(i64::MAX, 1).is_err());
        assert!(DateTime::new(0, 1440).is_err());
    }

    proptest! {
        #[test]
        fn days_survive(days in -719_528i64..=2_932_896) {
            prop_assert_eq!(Date::from_days_since_epoch(days).unwrap().days_since_epoch(), days);
        }
    }
}
