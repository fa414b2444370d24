//! Calendar dates for headers and certificates.

use std::time::{SystemTime, UNIX_EPOCH};

const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// Milliseconds since 1970-01-01 UTC.
pub(crate) fn unix_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_millis()).ok())
        .unwrap_or(0)
}

/// Seconds since 1970-01-01 UTC.
pub(crate) fn unix_now() -> i64 {
    unix_ms() / 1000
}

/// Year, month (1–12) and day (1–31) of a day counted from 1970-01-01, in the Gregorian calendar.
/// For years 1970 to 9999.
pub(crate) fn civil(days: i64) -> (i64, usize, i64) {
    // Years are counted from 1 March 0000, so that the leap day is the last of its year.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, usize::try_from(month).unwrap_or(1), day)
}

/// The day, counted from 1970-01-01, of a date of the Gregorian calendar (month 1–12, day 1–31).
pub fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// A date as a header field has it, in UTC: `Mon, 23 Nov 2026 16:00:00 +0000` (RFC 5322 §3.3).
pub(crate) fn header_date(unix: i64) -> String {
    let (day_number, second) = (unix.div_euclid(86_400), unix.rem_euclid(86_400));
    let (year, month, day) = civil(day_number);
    let weekday = DAYS[usize::try_from((day_number + 4).rem_euclid(7)).unwrap_or(0)];
    let month = MONTHS[(month - 1) % 12];
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{weekday}, {day} {month} {year:04} {hour:02}:{minute:02}:{second:02} +0000")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dates() {
        assert_eq!(header_date(0), "Thu, 1 Jan 1970 00:00:00 +0000");
        assert_eq!(header_date(951_827_696), "Tue, 29 Feb 2000 12:34:56 +0000");
        assert_eq!(
            header_date(1_795_478_399),
            "Mon, 23 Nov 2026 23:59:59 +0000"
        );
    }

    #[test]
    fn civil_and_days_are_inverse() {
        for day in (0..200_000).step_by(13) {
            let (year, month, date) = civil(day);
            assert_eq!(days(year, month as i64, date), day);
        }
    }
}
