//! Dates and times in commands (RFC 9051 §9).

use super::parser::{Parser, Result, parse_number};
use crate::types::{Date, DateTime, Month};

impl Parser<'_> {
    fn fixed_digits(&mut self, count: usize) -> Result<u16> {
        let digits = self
            .rest()
            .get(..count)
            .filter(|d| d.iter().all(u8::is_ascii_digit));
        match digits
            .and_then(parse_number)
            .and_then(|n| u16::try_from(n).ok())
        {
            Some(n) => {
                self.advance(count);
                Ok(n)
            }
            None => self.syntax("expected digits"),
        }
    }

    fn two_digits(&mut self) -> Result<u8> {
        self.fixed_digits(2).map(|n| n as u8)
    }

    /// `"-" date-month "-" date-year` after a day.
    fn month_and_year(&mut self, day: u8) -> Result<Date> {
        self.expect(b'-', "expected \"-\" in a date")?;
        let Some(month) = self.rest().get(..3).and_then(Month::from_name) else {
            return self.syntax("expected a month");
        };
        self.advance(3);
        self.expect(b'-', "expected \"-\" in a date")?;
        let year = self.fixed_digits(4)?;
        Date::new(year, month, day).or_else(|_| self.syntax("no such day"))
    }

    /// ```abnf
    /// date      = date-text / DQUOTE date-text DQUOTE
    /// date-text = date-day "-" date-month "-" date-year
    /// date-day  = 1*2DIGIT
    /// ```
    pub(crate) fn date(&mut self) -> Result<Date> {
        let quoted = self.eat(b'"');
        let count = 1 + usize::from(self.peek_at(1).is_some_and(|b| b.is_ascii_digit()));
        let day = self.fixed_digits(count)?;
        let date = self.month_and_year(day as u8)?;
        if quoted {
            self.expect(b'"', "date does not end")?;
        }
        Ok(date)
    }

    /// ```abnf
    /// date-time      = DQUOTE date-day-fixed "-" date-month "-" date-year SP time SP zone DQUOTE
    /// date-day-fixed = (SP DIGIT) / 2DIGIT
    /// time           = 2DIGIT ":" 2DIGIT ":" 2DIGIT
    /// zone           = ("+" / "-") 4DIGIT
    /// ```
    pub(crate) fn date_time(&mut self) -> Result<DateTime> {
        self.expect(b'"', "expected a date and time")?;
        let count = if self.eat(b' ') { 1 } else { 2 };
        let day = self.fixed_digits(count)?;
        let date = self.month_and_year(day as u8)?;
        self.space()?;
        let hour = self.two_digits()?;
        self.expect(b':', "expected \":\" in a time")?;
        let minute = self.two_digits()?;
        self.expect(b':', "expected \":\" in a time")?;
        let second = self.two_digits()?;
        self.space()?;
        let west = match self.peek() {
            Some(b'+') => false,
            Some(b'-') => true,
            _ => return self.syntax("expected a time zone"),
        };
        self.advance(1);
        let (hours, minutes) = (i16::from(self.two_digits()?), i16::from(self.two_digits()?));
        if hours > 23 || minutes > 59 {
            return self.syntax("no such time zone");
        }
        self.expect(b'"', "date and time do not end")?;
        let zone = if west {
            -(hours * 60 + minutes)
        } else {
            hours * 60 + minutes
        };
        DateTime::from_local(date, (hour, minute, second), zone)
            .or_else(|_| self.syntax("no such date or time"))
    }
}
