//! The commented example, made from the table of settings.

use super::sections::SECTIONS;
use super::{Config, SetError};

/// Returns a file that sets nothing: every setting with its meaning, commented out, showing its
/// default.
pub fn example() -> Result<String, SetError> {
    let defaults = toml::Value::try_from(Config::default())?;
    let mut out = String::from(
        "# Restante configuration. Every setting is shown with its default; remove the # of those\n\
         # that you change. Check with `restante config check FILE`.\n",
    );
    for section in SECTIONS {
        out.push('\n');
        for line in section.doc {
            out.push_str(&format!("#{line}\n"));
        }
        out.push_str(&format!("[{}]\n", section.name));
        for (key, doc) in section.keys {
            for line in *doc {
                out.push_str(&format!("#{line}\n"));
            }
            let value = defaults.get(section.name).and_then(|table| table.get(key));
            let value = value.map(toml::Value::to_string).unwrap_or_default();
            out.push_str(&format!("#{key} = {value}\n"));
        }
    }
    out.push_str(super::users::EXAMPLE);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// A line such as `#key = value` (documentation has a space after the #).
    fn is_setting(line: &str) -> bool {
        line.starts_with('#') && !line.starts_with("# ") && line.contains(" = ")
    }

    #[test]
    fn the_example_with_all_settings_uncommented_equals_the_defaults() {
        let text = example().unwrap();
        let mut settings = 0;
        let uncommented: Vec<&str> = text
            .lines()
            .map(|line| {
                if is_setting(line) {
                    settings += 1;
                    &line[1..]
                } else {
                    line
                }
            })
            .collect();
        let config = Config::parse(Path::new("example"), &uncommented.join("\n")).unwrap();
        assert_eq!(config, Config::default());
        let keys: usize = SECTIONS.iter().map(|section| section.keys.len()).sum();
        assert_eq!(settings, keys);
    }

    #[test]
    fn the_example_as_it_is_sets_nothing() {
        let config = Config::parse(Path::new("example"), &example().unwrap()).unwrap();
        assert_eq!(config, Config::default());
    }

    #[test]
    fn every_setting_is_explained() {
        for section in SECTIONS {
            assert!(!section.doc.is_empty(), "[{}]", section.name);
            for (key, doc) in section.keys {
                assert!(!doc.is_empty(), "{}.{key}", section.name);
            }
        }
    }
}
