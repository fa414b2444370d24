//! What a token says.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::{Refused, refuse};

/// The claims of a token, or the answer to its introspection.
#[derive(Debug)]
pub(super) struct Claims(Value);

impl Claims {
    pub(super) fn new(value: Value) -> Claims {
        Claims(value)
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some()
    }

    /// Said to be false; some issuers say it as text.
    pub(super) fn is_false(&self, name: &str) -> bool {
        match self.0.get(name) {
            Some(Value::Bool(value)) => !value,
            Some(Value::String(text)) => text == "false",
            _ => false,
        }
    }

    /// RFC 7662 §2.2.
    pub(super) fn is_active(&self) -> bool {
        self.0.get("active") == Some(&Value::Bool(true))
    }

    /// Whether one of these is in the audience (RFC 7519 §4.1.3).
    pub(super) fn is_for(&self, audiences: &[String]) -> bool {
        let wanted = |value: &Value| {
            value
                .as_str()
                .is_some_and(|one| audiences.iter().any(|a| a == one))
        };
        match self.0.get("aud") {
            Some(Value::Array(all)) => all.iter().any(wanted),
            Some(one) => wanted(one),
            None => false,
        }
    }

    /// Whether all of these scopes are granted: `scope` (RFC 9068 §2.2.3), or `scp` as some issuers say.
    pub(super) fn has_scopes(&self, wanted: &str) -> bool {
        let mut granted: Vec<&str> = Vec::new();
        for name in ["scope", "scp"] {
            match self.0.get(name) {
                Some(Value::String(text)) => granted.extend(text.split_ascii_whitespace()),
                Some(Value::Array(all)) => granted.extend(all.iter().filter_map(Value::as_str)),
                _ => {}
            }
        }
        wanted
            .split_ascii_whitespace()
            .all(|scope| granted.contains(&scope))
    }

    /// `exp` and `nbf`, where they are (RFC 7519 §4.1.4, §4.1.5).
    pub(super) fn check_times(&self, leeway_s: u64) -> Result<(), Refused> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0.0, |d| d.as_secs_f64());
        let leeway = leeway_s as f64;
        for (name, fits) in [
            (
                "exp",
                (|time, now, leeway| now < time + leeway) as fn(f64, f64, f64) -> bool,
            ),
            ("nbf", |time, now, leeway| now >= time - leeway),
        ] {
            match self.0.get(name).map(Value::as_f64) {
                None => {}
                Some(Some(time)) if fits(time, now, leeway) => {}
                Some(Some(_)) => return refuse(format!("{name}: not valid now")),
                Some(None) => return refuse(format!("{name} is no number")),
            }
        }
        Ok(())
    }
}
