//! What others got wrong, one test for each mistake.

use super::*;

mod options;
mod outcomes;
mod probes;
mod windows;
