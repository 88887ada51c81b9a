//! The routes of the file: by these a request goes in figures and in the log, for its path is whatever a client says.

use std::{str::FromStr, sync::Arc};

use buttress::http::MatchedRoute;

/// The longest pattern: one that is longer would share its figures with others.
const LONGEST: usize = 128;

/// All of them, in the order of the file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Routes(Arc<[Route]>);

/// One pattern of paths: `/books`, `/books/{id}`, `/files/{*rest}`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Route {
    name: MatchedRoute,
    /// `None` for any.
    segments: Vec<Option<Box<str>>>,
    /// Whether anything may follow.
    is_open: bool,
}

impl Routes {
    /// The first that the path fits.
    pub(crate) fn find(&self, path: &str) -> Option<MatchedRoute> {
        let route = self.0.iter().find(|route| route.fits(path));
        route.map(|route| route.name.clone())
    }
}

impl FromIterator<Route> for Routes {
    fn from_iter<I: IntoIterator<Item = Route>>(routes: I) -> Self {
        Self(routes.into_iter().collect())
    }
}

impl Route {
    fn fits(&self, path: &str) -> bool {
        let mut path = path.strip_prefix('/').unwrap_or(path).split('/');
        let fits = |expected: &Option<Box<str>>| match (expected, path.next()) {
            (Some(expected), Some(segment)) => **expected == *segment,
            (None, Some(segment)) => !segment.is_empty(),
            (_, None) => false,
        };
        self.segments.iter().all(fits) && self.is_open == path.next().is_some()
    }
}

impl FromStr for Route {
    type Err = &'static str;

    fn from_str(pattern: &str) -> Result<Self, Self::Err> {
        let path = pattern.strip_prefix('/').ok_or("it begins with a slash")?;
        if pattern.len() > LONGEST || !pattern.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("it has at most 128 visible characters");
        }
        let mut segments = Vec::new();
        let mut is_open = false;
        for segment in path.split('/') {
            if is_open {
                return Err("nothing follows `{*rest}`");
            }
            let name = segment.strip_prefix('{').and_then(|name| name.strip_suffix('}'));
            match name.map(|name| name.strip_prefix('*').ok_or(name)) {
                Some(Ok("") | Err("")) => return Err("braces have a name in them"),
                Some(Ok(_)) => is_open = true,
                Some(Err(_)) => segments.push(None),
                None if segment.contains(['{', '}']) => return Err("braces are around a whole segment"),
                None => segments.push(Some(segment.into())),
            }
        }
        Ok(Self {
            name: pattern.into(),
            segments,
            is_open,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_pattern_that_fits_is_the_route() {
        let patterns = [
            "/",
            "/books",
            "/books/new",
            "/books/{id}",
            "/books/{id}/pages/{page}",
            "/files/{*rest}",
        ];
        let routes: Routes = patterns
            .iter()
            .map(|p| p.parse::<Route>().expect("valid"))
            .collect();
        for (path, route) in [
            ("/", Some("/")),
            ("/books", Some("/books")),
            ("/books/", None),
            ("/books/new", Some("/books/new")),
            ("/books/4", Some("/books/{id}")),
            ("/books/4/", None),
            ("/books/4/pages/5", Some("/books/{id}/pages/{page}")),
            ("/books/4/pages", None),
            ("/files", None),
            ("/files/a/b/c", Some("/files/{*rest}")),
            ("/other", None),
            ("*", None),
            ("", Some("/")),
        ] {
            let found = routes.find(path);
            assert_eq!(found.as_ref().map(|found| &*found.0), route, "{path}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        let long = format!("/{}", "x".repeat(128));
        for wrong in [
            "",
            "books",
            "/a b",
            "/{}",
            "/{*}",
            "/x{id}",
            "/{id}x",
            "/{*rest}/more",
            &long,
        ] {
            assert!(wrong.parse::<Route>().is_err(), "{wrong}");
        }
    }
}
