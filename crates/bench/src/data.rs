//! The messages of a benchmark: what message n is follows from the seed, so that every answer about
//! it can be checked.

use std::fmt::Write as _;

/// Who writes, as it stands in a From field: some names need encoded words (RFC 2047).
const NAMES: [&str; 12] = [
    "Alice Example",
    "\"Roe, Richard\"",
    "=?utf-8?Q?J=C3=BCrgen_M=C3=BCller?=",
    "Maria Rossi",
    "=?utf-8?B?5bGx55Sw5aSq6YOO?=",
    "=?utf-8?B?0JDQvdC90LAg0JjQstCw0L3QvtCy0LA=?=",
    "Bob",
    "Team Build",
    "=?utf-8?Q?Fran=C3=A7ois_Dupr=C3=A9?=",
    "News of the Week",
    "Carol C.",
    "=?utf-8?B?2LPYp9ix2Kkg2KfZhNmG2KfYtdix?=",
];

/// What about: 40 topics come of the two lists.
const TOPICS: [&str; 8] = [
    "the report of the quarter",
    "Reise nach Bremen",
    "une question de calendrier",
    "invoice",
    "=?utf-8?B?5Lya6K2w44Gu6LOH5paZ?=",
    "build failed on main",
    "=?utf-8?Q?Gr=C3=BC=C3=9Fe_aus_K=C3=B6ln?=",
    "lunch",
];

const LINES: [&str; 6] = [
    "The figures are below; the rest comes on Monday, when all are back from the fair.\r\n",
    "Wir sehen uns morgen um zehn im kleinen Saal, bitte bringt die Unterlagen mit.\r\n",
    "Je vous envoie le plan avec les mesures, dites-moi si cela vous convient.\r\n",
    "> On the other hand nobody has asked for that, and it would take a week to do.\r\n",
    "Could you look at this before noon? It blocks the release.\r\n",
    "No strong opinion here. Whatever reads best.\r\n",
];

/// Shares of the size asked for; their mean is about 1.
const SIZES: [u64; 10] = [25, 30, 40, 50, 60, 80, 100, 120, 150, 345];

/// How many senders there are.
pub(crate) const SENDERS: u64 = 200;

/// The word that stands in the text of one message of a thousand.
pub(crate) const RARE_WORD: &str = "quagga";

/// 1 January 2025, the day of the first message.
const FIRST_DAY: u64 = 20_089;

/// A cheap random number from two numbers.
pub(crate) fn mix(seed: u64, n: u64) -> u64 {
    let mut z = seed.wrapping_add(n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// What the messages of a run have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Data {
    pub(crate) seed: u64,
    /// The mean size of a message, in octets.
    pub(crate) size: u64,
    /// How many there are in the large mailbox: their dates are spread over two years.
    pub(crate) messages: u64,
    /// After so many they begin anew: the mailbox holds copies.
    pub(crate) distinct: u64,
}

impl Data {
    /// The message of which message n of the large mailbox is a copy, or itself.
    pub(crate) fn original(&self, n: u64) -> u64 {
        if n < self.messages {
            n % self.distinct
        } else {
            n
        }
    }

    /// Which messages are copied when so many are there, numbered from 1: not too many at once.
    pub(crate) fn copies(&self, there: u64) -> (u64, u64) {
        let first = there % self.distinct;
        let many = (self.distinct - first)
            .min(self.messages - there)
            .min(100_000);
        (first + 1, first + many)
    }

    fn random(&self, n: u64, what: u64) -> u64 {
        mix(self.seed.wrapping_add(what << 40), n)
    }

    pub(crate) fn sender(&self, n: u64) -> u64 {
        self.random(self.original(n), 1) % SENDERS
    }

    pub(crate) fn is_seen(&self, n: u64) -> bool {
        !self.random(self.original(n), 2).is_multiple_of(8)
    }

    pub(crate) fn is_flagged(&self, n: u64) -> bool {
        self.random(n, 3).is_multiple_of(50)
    }

    pub(crate) fn has_rare_word(&self, n: u64) -> bool {
        self.original(n) % 1000 == 7
    }

    /// The day of message n, as a number of days since 1970.
    pub(crate) fn day(&self, n: u64) -> u64 {
        let n = self.original(n);
        FIRST_DAY + n * 730 / self.messages.min(self.distinct).max(1)
    }

    /// The message that this one answers.
    fn parent(&self, n: u64) -> Option<u64> {
        let random = self.random(n, 4);
        (n > 20 && random.is_multiple_of(3)).then(|| n - 1 - (random >> 8) % 20)
    }

    /// The topic is that of the message that is answered.
    fn topic(&self, mut n: u64) -> (String, bool) {
        let is_answer = self.parent(n).is_some();
        while let Some(parent) = self.parent(n) {
            n = parent;
        }
        let random = self.random(n, 5);
        let topic = TOPICS[(random % 8) as usize];
        (format!("{topic} {}", (random >> 8) % 500), is_answer)
    }

    /// What stands in its Message-ID, and nowhere else in ENVELOPE.
    pub(crate) fn id(&self, n: u64) -> String {
        let n = self.original(n);
        format!("{n}.{:x}@bench.example.org", self.seed)
    }

    /// FLAGS and the date for APPEND.
    pub(crate) fn flags_and_date(&self, n: u64) -> String {
        let flags = match (self.is_seen(n), self.is_flagged(n)) {
            (true, true) => "\\Seen \\Flagged",
            (true, false) => "\\Seen",
            (false, true) => "\\Flagged",
            (false, false) => "",
        };
        format!("({flags}) \"{} 12:00:00 +0000\"", date(self.day(n)))
    }

    /// Message n.
    pub(crate) fn message(&self, n: u64) -> Vec<u8> {
        let n = self.original(n);
        let mut text = String::with_capacity(self.size as usize + 2048);
        self.header(&mut text, n);
        let size = (self.size * SIZES[(self.random(n, 6) % 10) as usize] / 100) as usize;
        match self.random(n, 7) % 10 {
            0..3 => self.plain(&mut text, n, size),
            3..8 => self.alternative(&mut text, n, size),
            _ => self.attachment(&mut text, n, size),
        }
        text.into_bytes()
    }

    fn header(&self, text: &mut String, n: u64) {
        let sender = self.sender(n);
        let name = NAMES[(sender % 12) as usize];
        let id = self.id(n);
        let date = date(self.day(n)).replace('-', " ");
        let (topic, is_answer) = self.topic(n);
        let re = if is_answer { "Re: " } else { "" };
        let _ = write!(
            text,
            "Return-Path: <user{sender}@example.org>\r\n\
             Received: from mail.example.org (mail.example.org [192.0.2.1])\r\n\
             \tby mx.example.com with ESMTPS id {n}x{:x};\r\n\
             \t{date} 12:00:00 +0000\r\n\
             Message-ID: <{id}>\r\n",
            self.seed,
        );
        if let Some(parent) = self.parent(n) {
            let _ = write!(text, "In-Reply-To: <{}>\r\nReferences:", self.id(parent));
            let mut chain = vec![parent];
            while let Some(before) = chain.last().and_then(|&last| self.parent(last)) {
                chain.push(before);
            }
            for ancestor in chain.iter().rev() {
                let _ = write!(text, " <{}>", self.id(*ancestor));
                text.push_str("\r\n");
            }
        }
        let _ = write!(
            text,
            "Date: {date} 12:00:00 +0000\r\n\
             From: {name} <user{sender}@example.org>\r\n\
             To: Bob <bob@example.com>, \"C. Carol\" <carol@example.net>\r\n\
             Subject: {re}{topic}\r\n\
             X-Mailer: bench\r\n\
             MIME-Version: 1.0\r\n",
        );
    }

    fn lines(&self, text: &mut String, n: u64, size: usize) {
        if self.has_rare_word(n) {
            let _ = write!(text, "There is a {RARE_WORD} in the garden.\r\n");
        }
        let end = text.len() + size;
        let mut k = self.random(n, 8);
        text.push_str(LINES[(k % 6) as usize]);
        while text.len() < end {
            k = mix(k, 0);
            text.push_str(LINES[(k % 6) as usize]);
        }
    }

    fn plain(&self, text: &mut String, n: u64, size: usize) {
        text.push_str("Content-Type: text/plain; charset=utf-8\r\n\r\n");
        self.lines(text, n, size.saturating_sub(text.len()));
    }

    fn alternative(&self, text: &mut String, n: u64, size: usize) {
        let _ = write!(
            text,
            "Content-Type: multipart/alternative; boundary=\"=-b{n}\"\r\n\r\n\
             --=-b{n}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
        );
        let rest = size.saturating_sub(text.len());
        self.lines(text, n, rest / 3);
        let _ = write!(
            text,
            "\r\n--=-b{n}\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<html><body>\r\n"
        );
        let end = text.len() + rest * 2 / 3;
        let mut k = self.random(n, 9);
        while text.len() < end {
            k = mix(k, 1);
            text.push_str("<p style=\"margin:0\">");
            text.push_str(LINES[(k % 6) as usize].trim_start_matches("> ").trim_end());
            text.push_str("</p>\r\n");
        }
        let _ = write!(text, "</body></html>\r\n--=-b{n}--\r\n");
    }

    fn attachment(&self, text: &mut String, n: u64, size: usize) {
        let _ = write!(
            text,
            "Content-Type: multipart/mixed; boundary=\"=-b{n}\"\r\n\r\n\
             --=-b{n}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
        );
        self.lines(text, n, 200);
        let _ = write!(
            text,
            "\r\n--=-b{n}\r\nContent-Type: application/pdf; name=\"plan-{n}.pdf\"\r\n\
             Content-Disposition: attachment; filename=\"plan-{n}.pdf\"\r\n\
             Content-Transfer-Encoding: base64\r\n\r\n"
        );
        let mut k = self.random(n, 10);
        while text.len() + 90 < size {
            for _ in 0..4 {
                k = mix(k, 2);
                let _ = write!(text, "{k:016x}");
            }
            text.push_str("\r\n");
        }
        let _ = write!(text, "\r\n--=-b{n}--\r\n");
    }
}

/// `17-Jul-2026` of a number of days since 1970.
pub(crate) fn date(days: u64) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    // Counted from 1 March 0000, as leap days come last then.
    let day = days + 719_468;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let year = era * 400 + year + u64::from(month >= 10);
    let name = MONTHS[((month + 2) % 12) as usize];
    format!("{of_month:02}-{name}-{year}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: Data = Data {
        seed: 1,
        size: 8192,
        messages: 1000,
        distinct: u64::MAX,
    };

    #[test]
    fn the_seed_says_what_a_message_is() {
        assert_eq!(DATA.message(5), DATA.message(5));
        assert_ne!(DATA.message(5), DATA.message(6));
        let copies = Data {
            distinct: 100,
            ..DATA
        };
        assert_eq!(copies.message(205), copies.message(5));
        assert_eq!(copies.day(299), copies.day(99));
        // What is not in the large mailbox is nobody's copy.
        assert_ne!(copies.message(1005), copies.message(5));
    }

    #[test]
    fn sizes_have_the_mean_asked_for_and_lines_no_leading_dot() {
        let mut sum = 0;
        for n in 0..1000 {
            let message = DATA.message(n);
            sum += message.len();
            assert!(message.is_ascii() && message.ends_with(b"\r\n"));
            assert!(!message.windows(2).any(|w| w == b"\n."));
            let text = String::from_utf8(message).unwrap();
            assert_eq!(text.contains(RARE_WORD), DATA.has_rare_word(n));
        }
        let mean = sum / 1000;
        assert!((7000..9500).contains(&mean), "{mean}");
    }

    #[test]
    fn dates() {
        assert_eq!(date(20_089), "01-Jan-2025");
        assert_eq!(date(20_088), "31-Dec-2024");
        assert_eq!(date(19_782), "29-Feb-2024");
    }
}
