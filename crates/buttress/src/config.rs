//! stub
use std::fmt;
/// stub
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(Vec<String>);
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}
impl std::error::Error for ConfigError {}
/// stub
#[derive(Debug, Default)]
pub struct Problems(Vec<String>);
impl Problems {
    /// stub
    pub fn new() -> Self {
        Self::default()
    }
    /// stub
    pub fn check(&mut self, ok: bool, key: &str, found: impl fmt::Display, allowed: &str) {
        if !ok {
            self.0.push(format!("{key} {found} {allowed}"));
        }
    }
    /// stub
    /// # Errors
    /// stub
    pub fn into_result(self) -> Result<(), ConfigError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(ConfigError(self.0))
        }
    }
}
