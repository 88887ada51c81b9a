//! A limiter from a configuration file.

use super::{Algorithm, RateLimiterBuilder};
use crate::config::{Given, Section};

impl RateLimiterBuilder {
    /// Reads the options from a section, under the names of the setters; what is absent keeps its default.
    ///
    /// ```toml
    /// [rate_limit]
    /// algorithm = "token_bucket"      # sliding_window_log | sliding_window_counter | leaky
    /// rate = 100
    /// per = "1s"
    /// burst = 200
    /// max_wait = "2s"
    /// key = { header = "x-api-key" }  # peer_ip = true | forwarded_for = 1 | extension = true | route = true
    ///                                 # | grpc_method = true
    /// max_keys = 100000
    /// idle = "10m"
    /// headers = true
    /// ```
    ///
    /// A key that has no value may be written as a text as well: `key = "peer_ip"`. Without one there is one limit for
    /// all. What finds keys in HTTP needs the feature `http`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use buttress::{config, rate_limit::{RateLimiter, RateLimiterBuilder}, value::Table};
    ///
    /// let table = Table::new().with("rate", 100_u64).with("burst", 200_u64).with("max_wait", "2s");
    /// let options = config::read(&table, RateLimiterBuilder::read)?;
    /// assert_eq!(options, RateLimiter::per_second(100).burst(200).max_wait(Duration::from_secs(2)));
    /// # Ok::<(), buttress::ConfigError>(())
    /// ```
    pub fn read(section: &mut Section<'_, '_>) -> Self {
        let algorithms = Algorithm::ALL.map(|algorithm| (algorithm.as_str(), algorithm));
        let mut options = Self::default()
            .given(section.text("name"), Self::name)
            .given(section.one_of("algorithm", &algorithms), Self::algorithm)
            .given(section.number("burst", 1..=u64::MAX), Self::burst)
            .given(section.duration("max_wait"), Self::max_wait)
            .given(section.boolean("headers"), Self::headers);
        options.permits = section.number("rate", 1..=u64::MAX);
        if let Some(per) = section.duration("per") {
            options.per = per;
        }
        #[cfg(feature = "keyed")]
        {
            options = options.read_keys(section);
        }
        options
    }

    #[cfg(feature = "keyed")]
    fn read_keys(self, section: &mut Section<'_, '_>) -> Self {
        let by = read_key(section);
        let max_keys = section.number("max_keys", 1..=usize::MAX as u64);
        let idle = section.duration("idle");
        let Some(by) = by else {
            // A misspelt key is a problem already.
            if section.setting("key").is_none() {
                for (key, is_set) in [("max_keys", max_keys.is_some()), ("idle", idle.is_some())] {
                    if is_set {
                        section.refuse(key, "left out: without `key` there is one limit for all");
                    }
                }
            }
            return self;
        };
        let mut options = self.key_by(by);
        if let Some(keys) = max_keys {
            options = options.max_keys(usize::try_from(keys).unwrap_or(usize::MAX));
        }
        match idle {
            Some(idle) => options.idle(idle),
            None => options,
        }
    }
}

#[cfg(feature = "keyed")]
fn read_key(section: &mut Section<'_, '_>) -> Option<super::KeyBy> {
    use super::KeyBy;

    let bare = [
        ("extension", KeyBy::Extension),
        ("route", KeyBy::Route),
        #[cfg(feature = "http")]
        ("peer_ip", KeyBy::PeerIp),
        #[cfg(feature = "http")]
        ("grpc_method", KeyBy::GrpcMethod),
    ];
    let setting = section.setting("key")?;
    if setting.value().as_str().is_some() {
        return setting.one_of(&bare);
    }
    let mut key = setting.section()?;
    let mut found = Vec::new();
    for (name, by) in bare {
        if key.boolean(name) == Some(true) {
            found.push(by);
        }
    }
    #[cfg(feature = "http")]
    {
        let header = key.parse::<http::HeaderName>("header", "the name of a header, as in \"x-api-key\"");
        found.extend(header.map(KeyBy::Header));
        let hops = key.number::<u8>("forwarded_for", 1..=u8::MAX);
        found.extend(hops.and_then(std::num::NonZeroU8::new).map(KeyBy::ForwardedFor));
    }
    let problem = found.len() > 1;
    key.finish();
    if problem {
        section.refuse("key", "one kind of key");
        return None;
    }
    found.pop()
}
