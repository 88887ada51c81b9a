//! What a hop keeps to itself, and what it tells the next one.

use std::{iter, net::IpAddr};

use http::{
    HeaderMap, HeaderName, HeaderValue, Version,
    header::{
        CONNECTION, CONTENT_LENGTH, COOKIE, FORWARDED, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
        TRANSFER_ENCODING, UPGRADE, VIA,
    },
    uri::Authority,
};

use crate::pseudonym::Pseudonym;

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What is meant for the next hop only, whether `Connection` names it or not (RFC 9110, section 7.6.1).
static HOP_BY_HOP: [HeaderName; 10] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-authentication-info"),
    HeaderName::from_static("http2-settings"),
];

/// Where a request comes from.
#[derive(Debug)]
pub(crate) struct Origin<'a> {
    /// The client's address.
    pub(crate) peer: IpAddr,
    /// The host that it asked for, if it said so.
    pub(crate) host: Option<&'a Authority>,
    /// The version that it speaks.
    pub(crate) version: Version,
}

/// Takes out what is meant for this hop only: the fields of the list above, and those that `Connection` names.
///
/// `Trailer` stays, for the trailers themselves are passed on.
pub(crate) fn strip(headers: &mut HeaderMap) {
    // Two lengths are the beginning of request smuggling: where there was a transfer coding, it decides (RFC 9112,
    // section 6.3), and the length that this hop sends follows from the body.
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    let named: Vec<HeaderName> = list(headers, &CONNECTION)
        .filter_map(|name| name.parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// Makes a client's header fields those of a request from `me` to `upstream`, or to one that is chosen later: then there
/// is no `Host`, and who sends the request writes it.
pub(crate) fn to_upstream(
    headers: &mut HeaderMap,
    origin: &Origin<'_>,
    me: &Pseudonym,
    upstream: Option<&Authority>,
) {
    let takes_trailers = list(headers, &TE).any(|coding| coding.eq_ignore_ascii_case("trailers"));
    strip(headers);
    if takes_trailers {
        // Of `TE`, this is the one word that a proxy can promise too: hyper passes trailers on.
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
    join_cookies(headers);

    append(headers, &X_FORWARDED_FOR, origin.peer.to_string());
    // A client's own word for these is worth nothing, and who sits before us may be a client.
    headers.insert(&X_FORWARDED_PROTO, HeaderValue::from_static("http"));
    match origin.host {
        Some(host) => set(headers, &X_FORWARDED_HOST, host.as_str()),
        None => drop(headers.remove(&X_FORWARDED_HOST)),
    }
    append(headers, &FORWARDED, forwarded(origin));
    if origin.version == Version::HTTP_11 && !headers.contains_key(VIA) {
        headers.insert(VIA, me.of_http_11().clone());
    } else {
        append(
            headers,
            &VIA,
            format!("{} {}", version(origin.version), me.as_str()),
        );
    }
    match upstream {
        Some(upstream) => set(headers, &HOST, upstream.as_str()),
        None => drop(headers.remove(HOST)),
    }
}

/// HTTP/2 may split a cookie over several fields, HTTP/1.1 may not (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<_> = headers
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if crumbs.len() > 1
        && let Ok(cookie) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
    {
        headers.insert(COOKIE, cookie);
    }
}

/// RFC 7239. What is not a plain token has to be quoted, and an IPv6 address is in brackets.
fn forwarded(origin: &Origin<'_>) -> String {
    let mut element = match origin.peer {
        IpAddr::V4(peer) => format!("for={peer}"),
        IpAddr::V6(peer) => format!("for=\"[{peer}]\""),
    };
    if let Some(host) = origin.host {
        // An authority has neither quotes nor backslashes.
        for part in [";host=\"", host.as_str(), "\""] {
            element.push_str(part);
        }
    }
    element.push_str(";proto=http");
    element
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "0.9",
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => "1.1",
    }
}

/// The members of a field that is a list, over all its lines.
fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).iter();
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .filter(|member| !member.is_empty())
}

/// Adds a member at the end of a field that is a list, and makes one line of it.
fn append(headers: &mut HeaderMap, name: &HeaderName, member: String) {
    let mut lines = headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let line = match lines.next() {
        // Most often it is the first, and then it is all.
        None => member.into_bytes(),
        Some(first) => {
            let mut lines: Vec<_> = iter::once(first).chain(lines).collect();
            lines.retain(|line| !line.trim_ascii().is_empty());
            lines.push(member.as_bytes());
            lines.join(&b", "[..])
        }
    };
    if let Ok(value) = HeaderValue::try_from(line) {
        headers.insert(name, value);
    }
}

fn set(headers: &mut HeaderMap, name: &HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name: HeaderName = name.parse().expect("a name");
            headers.append(name, value.parse().expect("a value"));
        }
        headers
    }

    fn lines(headers: &HeaderMap) -> Vec<String> {
        let line = |(name, value): (&HeaderName, &HeaderValue)| {
            format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))
        };
        let mut lines: Vec<_> = headers.iter().map(line).collect();
        lines.sort();
        lines
    }

    fn sent(before: &[(&str, &str)]) -> HeaderMap {
        let mut headers = headers(before);
        let host = Authority::from_static("shop.example");
        let origin = Origin {
            peer: [192, 0, 2, 7].into(),
            host: Some(&host),
            version: Version::HTTP_11,
        };
        let upstream = Authority::from_static("10.0.0.1:9001");
        to_upstream(&mut headers, &origin, &Pseudonym::of(7), Some(&upstream));
        headers
    }

    #[test]
    fn what_is_for_this_hop_goes_no_further() {
        let mut headers = headers(&[
            ("connection", "close, X-Secret ,keep-alive"),
            ("connection", "X-Other,, not a name"),
            ("x-secret", "1"),
            ("x-other", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "close"),
            ("te", "gzip"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("http2-settings", "AAMAAABkAAQAoAAAAAIAAAAA"),
            ("proxy-authenticate", "Basic"),
            ("proxy-authorization", "Basic eA=="),
            ("proxy-authentication-info", "x"),
            ("trailer", "x-checksum"),
            ("authorization", "Bearer x"),
            ("www-authenticate", "Bearer"),
            ("content-type", "text/plain"),
        ]);
        strip(&mut headers);
        assert_eq!(
            lines(&headers),
            [
                "authorization: Bearer x",
                "content-type: text/plain",
                "trailer: x-checksum",
                "www-authenticate: Bearer"
            ]
        );
    }

    #[test]
    fn a_length_beside_a_transfer_coding_is_dropped() {
        let mut both = headers(&[("content-length", "5"), ("transfer-encoding", "chunked")]);
        strip(&mut both);
        assert!(both.is_empty());
        let mut length = headers(&[("content-length", "5")]);
        strip(&mut length);
        assert_eq!(lines(&length), ["content-length: 5"]);
    }

    #[test]
    fn the_upstream_learns_who_asked_for_what() {
        assert_eq!(
            lines(&sent(&[("host", "shop.example"), ("accept", "*/*")])),
            [
                "accept: */*",
                "forwarded: for=192.0.2.7;host=\"shop.example\";proto=http",
                "host: 10.0.0.1:9001",
                "via: 1.1 buttress-0000000000000007",
                "x-forwarded-for: 192.0.2.7",
                "x-forwarded-host: shop.example",
                "x-forwarded-proto: http",
            ]
        );
    }

    #[test]
    fn our_word_comes_after_that_of_others() {
        let headers = sent(&[
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-for", "198.51.100.2, 198.51.100.3"),
            ("x-forwarded-host", "forged"),
            ("x-forwarded-proto", "https"),
            ("forwarded", "for=203.0.113.9"),
            ("via", "2 edge"),
        ]);
        assert_eq!(
            lines(&headers)[..],
            [
                "forwarded: for=203.0.113.9, for=192.0.2.7;host=\"shop.example\";proto=http",
                "host: 10.0.0.1:9001",
                "via: 2 edge, 1.1 buttress-0000000000000007",
                "x-forwarded-for: 203.0.113.9, 198.51.100.2, 198.51.100.3, 192.0.2.7",
                "x-forwarded-host: shop.example",
                "x-forwarded-proto: http",
            ]
        );
    }

    #[test]
    fn of_te_only_trailers_are_promised() {
        assert_eq!(sent(&[("te", "gzip, Trailers")])[TE], "trailers");
        assert_eq!(sent(&[("te", "trailers")])[CONNECTION], "te");
        assert!(!sent(&[("te", "gzip")]).contains_key(TE));
        assert!(!sent(&[("te", "gzip")]).contains_key(CONNECTION));
    }

    #[test]
    fn cookie_crumbs_are_joined() {
        assert_eq!(
            lines(&sent(&[("cookie", "a=1"), ("cookie", "b=2; c=3")]))[0],
            "cookie: a=1; b=2; c=3"
        );
    }

    #[test]
    fn an_ipv6_address_is_quoted() {
        let origin = Origin {
            peer: "2001:db8::1".parse().expect("an address"),
            host: None,
            version: Version::HTTP_2,
        };
        assert_eq!(forwarded(&origin), "for=\"[2001:db8::1]\";proto=http");
        assert_eq!(version(origin.version), "2");
    }
}
