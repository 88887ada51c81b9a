//! The configuration file, and everything that can be wrong with it, said at once.

use std::{
    fmt, fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    str::FromStr,
    sync::Arc,
};

use buttress::{
    ConfigError, Http,
    config::{self, Section},
    rate_limit::RateLimiter,
    stack::ClientConfig,
    value::{Table, Value},
};
use http::uri::{Authority, Scheme, Uri};

use buttress_axum::admin::AdminToken;

use crate::{
    endpoints::{self, Endpoints},
    routes::{Route, Routes},
};

/// The front stack's name in `/state`.
pub(crate) const FRONT: &str = "gateway";

const ADDRESS: &str = "an address and a port, as in \"127.0.0.1:8080\" (port 0 takes a free one)";

/// What a gateway is made of.
#[derive(Debug)]
pub(crate) struct Config {
    /// Where clients come in.
    pub(crate) listen: SocketAddr,
    /// Where operators come in; absent, nobody does.
    pub(crate) admin: Option<SocketAddr>,
    /// What lets an operator change things; absent, nothing does.
    pub(crate) admin_token: Option<AdminToken>,
    /// The name of the stack around the upstream.
    pub(crate) name: Arc<str>,
    /// Where requests go.
    pub(crate) upstream: Upstream,
    /// How much is let in.
    pub(crate) rate_limit: Option<RateLimiter>,
    /// What requests are called.
    pub(crate) routes: Routes,
    /// What stands around the upstream.
    pub(crate) policies: ClientConfig<Http>,
}

impl Config {
    /// Reads the file at `path`.
    pub(crate) fn load(path: &Path) -> Result<Self, LoadError> {
        let text = fs::read_to_string(path).map_err(LoadError::Unreadable)?;
        Self::parse(&text)
    }

    /// Reads the text of a file.
    pub(crate) fn parse(text: &str) -> Result<Self, LoadError> {
        let table: Table = toml::from_str(text).map_err(|error| LoadError::syntax(text, &error))?;
        config::read(&table, Self::read)
            .and_then(|config| config.ok_or_else(|| ConfigError::one("listen", "nothing", "a value")))
            .map_err(LoadError::Invalid)
    }

    /// `None` only where a problem was noted.
    fn read(root: &mut Section<'_, '_>) -> Option<Self> {
        root.require(&["listen", "upstream"]);
        let listen = root.parse("listen", ADDRESS);
        let admin = root.parse("admin", ADDRESS);
        let admin_token = read_token(root, admin.is_some());
        let mut name = None;
        let mut read = None;
        if let Some(mut upstream) = root.section("upstream") {
            name = read_name(&mut upstream);
            read = match endpoints::is_pool(&mut upstream) {
                true => Some(Upstream::Pool(Box::new(Endpoints::read(&mut upstream)))),
                false => read_endpoint(&mut upstream).map(Upstream::One),
            };
        }
        match &mut read {
            Some(Upstream::Pool(endpoints)) => endpoints.read_health(root),
            Some(Upstream::One(_)) if root.setting("health_check").is_some() => {
                root.refuse("health_check", endpoints::ONLY_FOR_A_POOL);
            }
            // What is wrong with the endpoints has been said; their checks are still read.
            _ => endpoints::skip_health(root),
        }
        let mut policies = ClientConfig::read(root);
        // Who asks for too much is turned away at the door; the queue stands before the upstream, whose slots it hands out.
        let rate_limit = policies.rate_limit.take();
        let routes = root.list("routes", |route| {
            route.parse::<Route>("a pattern of paths, as in \"/books/{id}\" or \"/files/{*rest}\"")
        });
        for (i, address) in read.iter().flat_map(Upstream::addresses).enumerate() {
            if let Some(listen) = listen.filter(|listen| leads_to(address, *listen)) {
                root.accept::<()>(Err(ConfigError::one(
                    format!("upstream.endpoints[{i}]"),
                    format!("http://{address}"),
                    format!(
                        "another address than `listen`, {listen}: every request would go round in circles"
                    ),
                )));
            }
        }
        Some(Self {
            listen: listen?,
            admin,
            admin_token,
            name: name.unwrap_or_else(|| "upstream".into()),
            upstream: read?,
            rate_limit,
            routes: routes.into_iter().flatten().collect(),
            policies,
        })
    }
}

/// Whether what is sent to that address comes in at `listen`, as far as can be told without asking for names. What
/// cannot, the proxy finds out by `Via`.
fn leads_to(address: &Authority, listen: SocketAddr) -> bool {
    // Port 0 takes another.
    if listen.port() == 0 || address.port_u16().unwrap_or(80) != listen.port() {
        return false;
    }
    let listen = listen.ip().to_canonical();
    let host = address.host().trim_start_matches('[').trim_end_matches(']');
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    // What "localhost" is, and where those end who call 0.0.0.0; who listens there hears all of this machine.
    let here = listen.is_unspecified() || listen == Ipv4Addr::LOCALHOST || listen == Ipv6Addr::LOCALHOST;
    match host.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
        Ok(ip) if ip.is_unspecified() || listen.is_unspecified() => {
            here && (ip.is_unspecified() || ip.is_loopback())
        }
        Ok(ip) => ip == listen,
        Err(_) => here && (host == "localhost" || host.ends_with(".localhost")),
    }
}

/// A token that cannot be used is a problem, but none that is worth printing it, whatever it is.
fn read_token(root: &mut Section<'_, '_>, admin: bool) -> Option<AdminToken> {
    let problem = |found, allowed| Err(ConfigError::one("admin_token", found, allowed));
    let Value::Text(token) = root.setting("admin_token")?.value() else {
        return root.accept(problem("what is no text", "a secret in quotes"));
    };
    let checked = if token.is_empty() {
        problem("\"\"", "a secret, or no such key for no drills")
    } else if !token.bytes().all(|b| b.is_ascii_graphic()) {
        problem(
            "a character that no header can carry",
            "visible ASCII without blanks",
        )
    } else if !admin && root.setting("admin").is_none() {
        problem(
            "a token",
            "no token without `admin`, which is where it would be used",
        )
    } else {
        Ok(AdminToken::new(token))
    };
    root.accept(checked)
}

fn read_name(upstream: &mut Section<'_, '_>) -> Option<Arc<str>> {
    let name = upstream.text("name")?;
    let letter = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    if name.is_empty() || name.len() > 64 || !name.chars().all(letter) {
        upstream.refuse("name", "1 to 64 letters, digits, or any of - _ . :");
        return None;
    }
    if name == FRONT {
        upstream.refuse("name", "another name: this is the name of the stack in front");
        return None;
    }
    Some(name.into())
}

fn read_endpoint(upstream: &mut Section<'_, '_>) -> Option<Endpoint> {
    upstream.require(&["endpoints"]);
    let mut listed = 0;
    let endpoints = upstream.list("endpoints", |endpoint| {
        listed += 1;
        endpoint.parse::<Endpoint>(endpoints::URL)
    })?;
    if listed != 1 {
        upstream.refuse(
            "endpoints",
            "one URL, or any number of `{ name = \"a\", url = \"http://..\" }`",
        );
        return None;
    }
    for key in endpoints::KEYS {
        if upstream.setting(key).is_some() {
            upstream.refuse(key, endpoints::ONLY_FOR_A_POOL);
        }
    }
    endpoints.into_iter().next()
}

/// Where requests go.
#[derive(Clone, Debug)]
pub(crate) enum Upstream {
    /// To one endpoint.
    One(Endpoint),
    /// To several that behave as one.
    Pool(Box<Endpoints>),
}

impl Upstream {
    fn addresses(&self) -> Vec<&Authority> {
        match self {
            Self::One(endpoint) => vec![endpoint.authority()],
            Self::Pool(endpoints) => endpoints.addresses().collect(),
        }
    }
}

/// Where an upstream is: `http://host:port`, and nothing after it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Endpoint {
    authority: Authority,
}

impl Endpoint {
    /// Host and port, as the `Host` header has them.
    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    pub(crate) fn into_authority(self) -> Authority {
        self.authority
    }
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|error| format!("{error}"))?;
        let http = |scheme: &Scheme| *scheme == Scheme::HTTP;
        match (uri.scheme(), uri.authority()) {
            (None, _) => Err(format!("write \"http://{text}\"")),
            (Some(scheme), _) if !http(scheme) => Err("only http is spoken to upstreams".to_owned()),
            (_, None) => Err("it names no host".to_owned()),
            (_, Some(authority)) if authority.as_str().contains('@') => {
                Err("user and password have no place here".to_owned())
            }
            (_, Some(authority)) if authority.host().is_empty() => Err("it names no host".to_owned()),
            (_, Some(_)) if !matches!(uri.path_and_query().map(|p| p.as_str()), None | Some("/")) => {
                Err("the path is the request's own: leave it out".to_owned())
            }
            (_, Some(authority))
                if authority.as_str() != authority.host() && authority.port_u16().is_none() =>
            {
                Err("the port is no number up to 65535".to_owned())
            }
            (_, Some(authority)) => Ok(Self {
                authority: authority.clone(),
            }),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority)
    }
}

/// A configuration that cannot be used.
#[derive(Debug)]
pub(crate) enum LoadError {
    /// The file cannot be read.
    Unreadable(io::Error),
    /// It is no TOML: what is wrong, and where. toml's own error shows the line, and there may be a token in it.
    Syntax {
        line: usize,
        column: usize,
        message: String,
    },
    /// It says what makes no sense.
    Invalid(ConfigError),
}

impl LoadError {
    fn syntax(text: &str, error: &toml::de::Error) -> Self {
        let before = error.span().and_then(|span| text.get(..span.start));
        let before = before.unwrap_or_default();
        let (above, line) = before.rsplit_once('\n').unwrap_or(("", before));
        let has_above = before.len() > line.len();
        Self::Syntax {
            line: above.matches('\n').count() + usize::from(has_above) + 1,
            column: line.chars().count() + 1,
            message: error.message().to_owned(),
        }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => write!(f, "cannot be read: {error}"),
            Self::Syntax {
                line,
                column,
                message,
            } => write!(f, "it is no TOML at line {line}, column {column}: {message}"),
            Self::Invalid(error) => {
                match error.problems().len() + error.omitted() {
                    1 => f.write_str("1 problem")?,
                    n => write!(f, "{n} problems")?,
                }
                error
                    .to_string()
                    .lines()
                    .try_for_each(|line| write!(f, "\n  {line}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use buttress::{
        pool::{HealthCheck, PoolOptions, Probe, Strategy},
        priority::{Classifier, Priority, PriorityQueue},
        rate_limit::KeyBy,
        retry::{RetryBuilder, RetryOn},
    };

    use super::*;

    fn problems(text: &str) -> String {
        match Config::parse(text).expect_err("a problem") {
            LoadError::Invalid(error) => error.to_string(),
            other => other.to_string(),
        }
    }

    #[test]
    fn the_example_file_is_valid() {
        let config = Config::parse(include_str!("gateway.toml")).expect("valid");
        assert_eq!(config.listen, "127.0.0.1:8080".parse().expect("an address"));
        let Upstream::Pool(endpoints) = &config.upstream else {
            panic!("{:?}", config.upstream);
        };
        let addresses: Vec<_> = endpoints.addresses().map(Authority::as_str).collect();
        assert_eq!(addresses, ["127.0.0.1:9001", "127.0.0.1:9002"]);
        // What it shows is what there is by default.
        assert_eq!(endpoints.options, PoolOptions::default());
        assert_eq!(endpoints.health, None);
        assert_eq!(&*config.name, "upstream");
        assert!(config.admin.is_some() && config.admin_token.is_some());
        let options = config.policies.circuit_breaker.expect("a breaker").options();
        let expected = buttress::circuit_breaker::CircuitBreaker::builder()
            .consecutive_failures(5)
            .success_threshold(2)
            .half_open_probes(3)
            .open_for(std::time::Duration::from_secs(30));
        assert_eq!(options, expected);
        // What it shows is what there is by default.
        let trace_id = config.policies.trace_id.expect("trace-ids").options();
        assert_eq!(trace_id, buttress::trace_id::TraceId::builder());
        assert!(config.policies.metrics.is_some());
        let retry = config.policies.retry.expect("a retry").options();
        let on = RetryOn::nothing().errors(true).timeouts(true);
        let on = on.http_statuses([502, 503, 504, 429]);
        assert_eq!(retry, RetryBuilder::standard().retry_on(on));
        let hedge = config.policies.hedge.expect("a hedge").options();
        assert_eq!(hedge, buttress::hedge::Hedge::builder());
        assert!(config.policies.fallback.is_none());
        let limiter = config.rate_limit.expect("a limit").options();
        let key = KeyBy::Header("x-api-key".parse().expect("a name"));
        let expected = RateLimiter::per_second(100).burst(200).key_by(key);
        let expected = expected.max_wait(Duration::from_secs(2)).headers(true);
        assert_eq!(limiter, expected.max_keys(100_000).idle(Duration::from_secs(600)));
        let queue = config.policies.priority.expect("a queue").options();
        let classifier = Classifier::new().field("priority");
        let expected = PriorityQueue::builder()
            .classifier(classifier)
            .max_queue_time(Priority::CRITICAL, Duration::from_secs(5))
            .max_queue_time(Priority::NORMAL, Duration::from_secs(1))
            .max_queue_time(Priority::BACKGROUND, Duration::from_millis(200));
        assert_eq!(queue, expected);
    }

    #[test]
    fn what_is_commented_out_of_the_example_file_is_valid_too() {
        // Of the two windows there can be only one.
        let commented = |line: &&str| line.starts_with("# ") && !line.starts_with("# time_window");
        let text = include_str!("gateway.toml").lines();
        let all: Vec<_> = text
            .skip_while(|line| !line.is_empty())
            .map(|line| if commented(&line) { &line[2..] } else { line })
            .collect();
        let config = Config::parse(&all.join("\n")).expect("valid");
        assert!(config.policies.fallback.is_some());
        let queue = config.policies.priority.expect("a queue").options();
        assert_ne!(queue, queue.clone().reserved(0));
        let Upstream::Pool(endpoints) = &config.upstream else {
            panic!("{:?}", config.upstream);
        };
        assert_eq!(endpoints.options, PoolOptions::default().name("upstream"));
        let health = endpoints.health.as_ref().expect("checks");
        assert_eq!(health.options, HealthCheck::default());
        assert_eq!(health.probe, Probe::Path("/healthz".to_owned()));
        assert_eq!(health.slow_start, Some(std::time::Duration::from_secs(30)));
    }

    #[test]
    fn several_endpoints_have_names_weights_and_checks() {
        let text = r#"
            listen = "127.0.0.1:0"
            [upstream]
            endpoints = [
              { name = "a", url = "http://127.0.0.1:9001", weight = 1 },
              { name = "b", url = "http://127.0.0.1:9002", weight = 2 },
            ]
            balance = "least_requests"
            failover = 1
            panic_mode = true
            [health_check]
            grpc = "books.Shelf"
            slow_start = "5s"
        "#;
        let config = Config::parse(text).expect("valid");
        let Upstream::Pool(endpoints) = config.upstream else {
            panic!("{:?}", config.upstream);
        };
        let expected = PoolOptions::default()
            .balance(Strategy::LeastRequests)
            .failover(1)
            .panic_mode(true)
            .slow_start(std::time::Duration::from_secs(5));
        assert_eq!(endpoints.options, expected);
        let probe = endpoints.health.map(|health| health.probe);
        assert_eq!(probe, Some(Probe::Grpc("books.Shelf".to_owned())));
    }

    #[test]
    fn what_is_wrong_with_endpoints_is_named_at_once() {
        let text = r#"
            listen = "127.0.0.1:8080"
            [upstream]
            endpoints = [
              { name = "a", url = "https://127.0.0.1:9001" },
              { name = "b", url = "http://127.0.0.1:9002", weight = 0 },
              { name = "c", url = "http://127.0.0.1:8080", wieght = 1 },
              { url = "http://127.0.0.1:9003" },
            ]
            balance = "best"
            failover = -1
            [health_check]
            interval = "0s"
            path = "healthz"
        "#;
        let said = problems(text);
        for problem in [
            "upstream.endpoints[0].url: found \"https://127.0.0.1:9001\", expected an address, as in \
             \"http://127.0.0.1:9001\": only http is spoken to upstreams",
            "upstream.endpoints[1].weight: found 0, expected a whole number, 1 to 10000",
            "upstream.endpoints[2].wieght: found an unknown key, expected a known one: did you mean `weight`?",
            "upstream.endpoints[3].name: found nothing, expected a value",
            "upstream.balance: found \"best\"",
            "upstream.failover: found -1",
            "health_check.path: found \"healthz\", expected a path, as in \"/healthz\"",
        ] {
            assert!(said.contains(problem), "{problem}\nin\n{said}");
        }
        let two = |endpoints: &str| {
            problems(&format!(
                "listen = \"127.0.0.1:8080\"\n[upstream]\nendpoints = {endpoints}"
            ))
        };
        let said = two(
            "[{ name = \"a\", url = \"http://h:1\" }, { name = \"a\", url = \"http://127.0.0.1:8080\" }]\n\
             [health_check]\npath = \"/\"\ninterval = \"0s\"",
        );
        for problem in [
            "upstream.endpoints.a.name: found a, expected a name that no other endpoint has",
            "health_check.interval: found 0s, expected a duration above zero",
            "upstream.endpoints[1]: found http://127.0.0.1:8080, expected another address than `listen`",
        ] {
            assert!(said.contains(problem), "{problem}\nin\n{said}");
        }
        let said = two("[\"http://h:1\"]\nbalance = \"score\"\n[health_check]\npath = \"/\"");
        assert_eq!(
            said,
            "upstream.balance: found \"score\", expected nothing, for it is for a pool: `endpoints = [{ name = \"a\", \
             url = \"http://..\" }]`\n\
             health_check: found {\"path\":\"/\"}, expected nothing, for it is for a pool: `endpoints = [{ name = \
             \"a\", url = \"http://..\" }]`"
        );
    }

    #[test]
    fn a_path_of_checks_that_no_request_can_have_is_named() {
        let pool = "[{ name = \"a\", url = \"http://h:1\" }]";
        for (endpoints, path) in [
            (pool, "/a b"),
            (pool, "/<id>"),
            (pool, "/healthz#now"),
            // Also where the endpoints are no good.
            ("[{ name = \"a\", url = \"h:1\" }, 2]", "/a b"),
            ("[2]", "/a b"),
        ] {
            let said = problems(&format!(
                "listen = \"127.0.0.1:8080\"\n[upstream]\nendpoints = {endpoints}\n[health_check]\npath = \"{path}\""
            ));
            let problem = format!(
                "health_check.path: found \"{path}\", expected a path as a request has it, where a blank is %20 and \
                 there is no #"
            );
            assert!(said.contains(&problem), "{problem}\nin\n{said}");
        }
    }

    #[test]
    fn an_absent_section_is_a_policy_that_is_off() {
        let text = "listen = \"127.0.0.1:0\"\n[upstream]\nendpoints = [\"http://localhost:9001/\"]";
        let config = Config::parse(text).expect("valid");
        assert!(config.policies.circuit_breaker.is_none() && config.policies.trace_id.is_none());
        assert!(config.rate_limit.is_none() && config.policies.priority.is_none());
        assert!(config.admin.is_none() && config.admin_token.is_none());
        assert!(
            matches!(config.upstream, Upstream::One(one) if one.authority().as_str() == "localhost:9001")
        );
    }

    #[test]
    fn every_problem_is_named_at_once() {
        let text = r#"
            listen = "localhost"
            admni = "127.0.0.1:9090"
            admin_token = ""
            [upstream]
            endpoints = ["http://a:1", "http://b:2"]
            name = "two words"
            [circuit_breaker]
            consecutive_failures = 0
            open_for = 30
            half_open_probs = 3
        "#;
        assert_eq!(
            problems(text),
            "listen: found \"localhost\", expected an address and a port, as in \"127.0.0.1:8080\" (port 0 takes \
             a free one): invalid socket address syntax\n\
             admin_token: found \"\", expected a secret, or no such key for no drills\n\
             upstream.name: found \"two words\", expected 1 to 64 letters, digits, or any of - _ . :\n\
             upstream.endpoints: found [\"http://a:1\",\"http://b:2\"], expected one URL, or any number of `{ name = \
             \"a\", url = \"http://..\" }`\n\
             circuit_breaker.consecutive_failures: found 0, expected a whole number, 1 to 4294967295\n\
             circuit_breaker.open_for: found 30, expected a duration: a number and a unit (d, h, m, s, ms, us, ns), \
             as in \"250ms\" or \"1m30s\": write \"30s\"\n\
             circuit_breaker.half_open_probs: found an unknown key, expected a known one: did you mean \
             `half_open_probes`?\n\
             admni: found an unknown key, expected a known one: did you mean `admin`?"
        );
    }

    #[test]
    fn what_must_be_there_is_named() {
        assert_eq!(
            problems(""),
            "listen: found nothing, expected a value\nupstream: found nothing, expected a value"
        );
        assert_eq!(
            problems("listen = \"127.0.0.1:1\"\n[upstream]"),
            "upstream.endpoints: found nothing, expected a value"
        );
        assert_eq!(
            problems("listen = \"127.0.0.1:1\"\nupstream = { endpoints = [] }"),
            "upstream.endpoints: found [], expected one URL, or any number of `{ name = \"a\", url = \"http://..\" }`"
        );
    }

    #[test]
    fn an_endpoint_is_scheme_host_and_port() {
        for (text, why) in [
            ("127.0.0.1:9001", "write \"http://127.0.0.1:9001\""),
            ("https://example.org", "only http is spoken to upstreams"),
            ("http://u:p@host", "user and password have no place here"),
            ("http://host/path", "the path is the request's own: leave it out"),
            ("http://host/?q", "the path is the request's own: leave it out"),
            ("http://host:", "the port is no number up to 65535"),
            ("http://host:99999", "the port is no number up to 65535"),
        ] {
            assert_eq!(text.parse::<Endpoint>(), Err(why.to_owned()), "{text}");
        }
        for text in ["http://host", "http://[::1]:80", "http://host:1/"] {
            assert!(text.parse::<Endpoint>().is_ok(), "{text}");
        }
    }

    #[test]
    fn a_gateway_does_not_call_itself() {
        let text = "listen = \"127.0.0.1:8080\"\n[upstream]\nendpoints = [\"http://127.0.0.1:8080\"]";
        assert_eq!(
            problems(text),
            "upstream.endpoints[0]: found http://127.0.0.1:8080, expected another address than `listen`, \
             127.0.0.1:8080: every request would go round in circles"
        );
    }

    #[test]
    fn a_gateway_does_not_call_itself_by_another_name() {
        let leads = |listen: &str, endpoint: &str| {
            let listen = listen.parse().expect("an address");
            leads_to(
                &endpoint.parse::<Endpoint>().expect("an endpoint").authority,
                listen,
            )
        };
        for (listen, endpoint) in [
            ("0.0.0.0:18081", "http://127.0.0.1:18081"),
            ("0.0.0.0:18081", "http://127.1.2.3:18081"),
            ("0.0.0.0:18081", "http://localhost:18081"),
            ("0.0.0.0:80", "http://LocalHost."),
            ("0.0.0.0:80", "http://gateway.localhost"),
            ("[::]:18081", "http://127.0.0.1:18081"),
            ("[::]:18081", "http://[::1]:18081"),
            ("[::]:18081", "http://[::ffff:127.0.0.1]:18081"),
            ("127.0.0.1:18081", "http://0.0.0.0:18081"),
            ("127.0.0.1:18081", "http://localhost:18081"),
            ("127.0.0.1:18081", "http://[::ffff:127.0.0.1]:18081"),
            ("[::1]:18081", "http://[::]:18081"),
            ("192.0.2.7:18081", "http://192.0.2.7:18081"),
        ] {
            assert!(leads(listen, endpoint), "{listen} {endpoint}");
        }
        for (listen, endpoint) in [
            ("0.0.0.0:18081", "http://127.0.0.1:18082"),
            ("0.0.0.0:18081", "http://192.0.2.7:18081"),
            ("0.0.0.0:18081", "http://books.example:18081"),
            ("0.0.0.0:0", "http://127.0.0.1:18081"),
            ("127.0.0.1:18081", "http://127.0.0.2:18081"),
            ("127.0.0.2:18081", "http://localhost:18081"),
            ("127.0.0.1:18081", "http://[::1]:18081"),
            ("192.0.2.7:18081", "http://127.0.0.1:18081"),
            ("192.0.2.7:18081", "http://localhost:18081"),
        ] {
            assert!(!leads(listen, endpoint), "{listen} {endpoint}");
        }
    }

    #[test]
    fn a_bad_token_is_not_printed() {
        let text = "listen = \"127.0.0.1:1\"\nadmin = \"127.0.0.1:2\"\nadmin_token = \"my secret\"\n\
                    [upstream]\nendpoints = [\"http://a\"]";
        assert_eq!(
            problems(text),
            "admin_token: found a character that no header can carry, expected visible ASCII without blanks"
        );
        let text =
            "listen = \"127.0.0.1:1\"\nadmin_token = \"secret\"\n[upstream]\nendpoints = [\"http://a\"]";
        assert!(problems(text).contains("no token without `admin`"));
        let config = "listen = \"127.0.0.1:1\"\nadmin = \"127.0.0.1:2\"\nadmin_token = \"secret\"\n\
                      [upstream]\nendpoints = [\"http://a\"]";
        let config = Config::parse(config).expect("valid");
        assert!(!format!("{config:?}").contains("secret"));
    }

    #[test]
    fn a_token_that_is_no_text_is_not_printed() {
        for token in [
            "123456789",
            "-12345678.9",
            "[\"123456789\"]",
            "{ a = \"123456789\" }",
        ] {
            let said = problems(&format!(
                "listen = \"127.0.0.1:1\"\nadmin = \"127.0.0.1:2\"\nadmin_token = {token}\n\
                 [upstream]\nendpoints = [\"http://a\"]"
            ));
            let expected = "admin_token: found what is no text, expected a secret in quotes";
            assert_eq!(said, expected, "{token}");
        }
    }

    #[test]
    fn a_token_in_what_is_no_toml_is_not_printed() {
        for token in [
            "\"secret",
            "'secret",
            "secret",
            "\"secret\"\nadmin_token = \"secret\"",
            "\"\"\"\nsecret\n",
            "\"sec\\qret secret\"",
            "\"secret\" \"secret\"",
            "{ a = \"secret\"",
            "0secret",
            "[\"secret\"",
        ] {
            let error = Config::parse(&format!("listen = \"127.0.0.1:1\"\nadmin_token = {token}"));
            let error = error.expect_err("no TOML");
            assert!(matches!(error, LoadError::Syntax { .. }), "{token}: {error}");
            let said = format!("{error} {error:?}");
            assert!(!said.contains("secret") && !said.contains("qret"), "{said}");
            assert!(said.contains("line "), "{said}");
        }
    }

    #[test]
    fn what_is_no_toml_is_named_with_its_place() {
        for (text, place) in [
            ("listen = \"127.0.0.1:1\"\n[upstream\n", "line 2, column 10: "),
            ("listen == 1", "line 1, column 9: "),
            ("\n\n\"é\" = = 1\n", "line 3, column 7: "),
        ] {
            let said = problems(text);
            assert!(said.starts_with(&format!("it is no TOML at {place}")), "{said}");
        }
    }
}
