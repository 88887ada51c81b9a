//! Configuration files.

use buttress::{
    Http, Stack,
    stack::{ClientConfig, ServerConfig},
    value::Table,
};

/// A file of a client's or a server's stack. It is read, or everything that is wrong with it is named; and what is read
/// can be built.
pub(crate) fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    // What is no TOML at all, its own reader says.
    let Ok(table) = toml::from_str::<Table>(text) else {
        return;
    };
    let client = buttress::config::read(&table, |root| ClientConfig::<Http>::read(root));
    match client {
        Ok(config) => drop(Stack::http_client("client").config(config).build()),
        Err(error) => named(&error),
    }
    match buttress::config::read(&table, |root| ServerConfig::read(root)) {
        Ok(config) => drop(Stack::http_server("server").config(config).build()),
        Err(error) => named(&error),
    }
}

fn named(error: &buttress::config::ConfigError) {
    let problems = error.problems();
    assert!(!problems.is_empty());
    for problem in problems {
        assert!(!problem.key().is_empty(), "{error}");
    }
    // One line each, whatever is in the file.
    assert_eq!(error.to_string().lines().count(), problems.len(), "{error}");
}
