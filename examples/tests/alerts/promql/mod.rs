//! The part of PromQL that our alerts and dashboard are written in. What else there is, is an error: a rule that needs
//! more needs more here.

mod eval;
mod parse;

use std::collections::BTreeMap;

pub(crate) use parse::{parse, seconds};

pub(crate) type Labels = BTreeMap<String, String>;

/// A series and its samples, by the second.
pub(crate) struct Series {
    /// With `__name__`.
    pub(crate) labels: Labels,
    pub(crate) samples: Vec<(f64, f64)>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expr {
    Number(f64),
    Selector {
        matchers: Vec<Matcher>,
        /// In seconds.
        range: Option<f64>,
    },
    Call {
        function: Function,
        arguments: Vec<Expr>,
    },
    Aggregation {
        operator: Aggregator,
        by: Vec<String>,
        of: Box<Expr>,
    },
    Binary {
        operator: Operator,
        sides: Box<(Expr, Expr)>,
    },
}

/// One of those of a selector; the name is one for `__name__`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Matcher {
    label: String,
    value: String,
    is_equal: bool,
    is_pattern: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Function {
    Rate,
    Increase,
    MaxOverTime,
    MinOverTime,
    HistogramQuantile,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Aggregator {
    Sum,
    Max,
    Min,
    Count,
    Avg,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Operator {
    Or,
    And,
    Unless,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Plus,
    Minus,
    Times,
    DividedBy,
}
