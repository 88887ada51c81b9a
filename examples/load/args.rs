//! The command line.

use std::time::Duration;

use http::{Uri, uri::Authority};

pub(crate) const USAGE: &str = "\
Usage: load URL [OPTION ..]

Options:
  --rate N          requests a second, over all connections (1000)
  --for TIME        how long, as in 10s or 1m (10s)
  --connections N   which are kept open (32)
  --long SHARE      this share of the requests is for /long, 0 to 1 (0)
  --json            the result in JSON
  --none-lost       exit code 1 if a request was lost
";

/// What the user wants.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Args {
    pub(crate) url: Authority,
    pub(crate) rate: u32,
    pub(crate) lasts: Duration,
    pub(crate) connections: u32,
    pub(crate) long: f64,
    pub(crate) json: bool,
    pub(crate) none_lost: bool,
}

/// What the user wants, or what is wrong with how it was said.
pub(crate) fn parse(args: impl IntoIterator<Item = String>) -> Result<Args, String> {
    let mut url = None;
    let mut wanted = Args {
        url: Authority::from_static("none"),
        rate: 1000,
        lasts: Duration::from_secs(10),
        connections: 32,
        long: 0.0,
        json: false,
        none_lost: false,
    };
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("`{arg}` needs a value"));
        let number = |text: String| text.parse().ok().filter(|n| (1..=1_000_000).contains(n));
        let wrong = |what: &str| format!("`{arg}` needs {what}");
        match arg.as_str() {
            "--rate" => wanted.rate = number(value()?).ok_or(wrong("a whole number above zero"))?,
            "--connections" => {
                wanted.connections = number(value()?).ok_or(wrong("a whole number above zero"))?;
            }
            "--for" => {
                let lasts = buttress::duration::parse(&value()?).map_err(|error| error.to_string())?;
                wanted.lasts = lasts;
            }
            "--long" => {
                let share = value()?.parse().ok().filter(|share| (0.0..=1.0).contains(share));
                wanted.long = share.ok_or(wrong("a share, 0 to 1"))?;
            }
            "--json" => wanted.json = true,
            "--none-lost" => wanted.none_lost = true,
            _ if arg.starts_with('-') => return Err(format!("unknown argument `{arg}`")),
            _ => {
                let uri: Uri = arg.parse().map_err(|error| format!("`{arg}`: {error}"))?;
                let http = uri.scheme_str() == Some("http");
                url = Some(
                    uri.into_parts()
                        .authority
                        .filter(|_| http)
                        .ok_or(wrong("\"http://host:port\""))?,
                );
            }
        }
    }
    wanted.url = url.ok_or("where to? a URL is missing")?;
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(args: &[&str]) -> Result<Args, String> {
        parse(args.iter().map(ToString::to_string))
    }

    #[test]
    fn what_is_not_said_is_a_thousand_a_second_for_ten_seconds() {
        let args = of(&["http://127.0.0.1:8080"]).expect("valid");
        assert_eq!(
            (args.rate, args.lasts, args.connections),
            (1000, Duration::from_secs(10), 32)
        );
        let args = of(&[
            "--rate",
            "5",
            "http://h:1/",
            "--for",
            "1m",
            "--long",
            "0.1",
            "--none-lost",
        ])
        .expect("valid");
        assert_eq!(
            (args.rate, args.lasts, args.long, args.none_lost),
            (5, Duration::from_secs(60), 0.1, true)
        );
    }

    #[test]
    fn nonsense_is_refused() {
        for args in [
            &[][..],
            &["--rate", "5"],
            &["http://h:1", "--rate"],
            &["http://h:1", "--rate", "0"],
            &["http://h:1", "--for", "5"],
            &["http://h:1", "--long", "2"],
            &["https://h:1"],
            &["h:1"],
            &["http://h:1", "--fast"],
        ] {
            assert!(of(args).is_err(), "{args:?}");
        }
    }
}
