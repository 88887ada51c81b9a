use super::{Aggregator, Expr, Function, Matcher, Operator};

/// Reads a query.
pub(crate) fn parse(query: &str) -> Result<Expr, String> {
    let mut parser = Parser { rest: query };
    let expr = parser.binary(0)?;
    parser.end().map(|()| expr)
}

/// Reads a duration: `5m`, `1h30m`.
pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    let mut rest = text;
    let mut sum = 0.0;
    while !rest.is_empty() {
        let digits = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let number: f64 = rest[..rest.len() - digits.len()]
            .parse()
            .map_err(|_| format!("no duration: {text}"))?;
        let units = [
            ("ms", 0.001),
            ("s", 1.0),
            ("m", 60.0),
            ("h", 3600.0),
            ("d", 86400.0),
        ];
        let (unit, factor) = units
            .into_iter()
            .find(|(unit, _)| digits.starts_with(unit))
            .ok_or_else(|| format!("no unit: {text}"))?;
        sum += number * factor;
        rest = &digits[unit.len()..];
    }
    Ok(sum)
}

struct Parser<'a> {
    rest: &'a str,
}

/// By how firmly they bind.
const LEVELS: [&[(&str, Operator)]; 5] = [
    &[("or ", Operator::Or)],
    &[("and ", Operator::And), ("unless ", Operator::Unless)],
    &[
        ("==", Operator::Equal),
        ("!=", Operator::NotEqual),
        ("<=", Operator::LessOrEqual),
        (">=", Operator::GreaterOrEqual),
        ("<", Operator::Less),
        (">", Operator::Greater),
    ],
    &[("+", Operator::Plus), ("-", Operator::Minus)],
    &[("*", Operator::Times), ("/", Operator::DividedBy)],
];

impl<'a> Parser<'a> {
    /// Takes the text away, if it is what is next.
    fn take(&mut self, text: &str) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, text: &str) -> Result<(), String> {
        match self.take(text) {
            true => Ok(()),
            false => Err(format!("no {text} before {:?}", self.rest)),
        }
    }

    fn end(&mut self) -> Result<(), String> {
        match self.rest.trim_start() {
            "" => Ok(()),
            rest => Err(format!("something follows: {rest:?}")),
        }
    }

    fn word(&mut self) -> &'a str {
        let rest = self.rest.trim_start();
        let of_a_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let end = rest.find(|c| !of_a_word(c)).unwrap_or(rest.len());
        self.rest = &rest[end..];
        &rest[..end]
    }

    fn binary(&mut self, level: usize) -> Result<Expr, String> {
        let Some(operators) = LEVELS.get(level) else {
            return self.operand();
        };
        let mut left = self.binary(level + 1)?;
        while let Some((_, operator)) = operators.iter().find(|(text, _)| self.take(text)) {
            for modifier in ["bool", "on", "ignoring", "group_left", "group_right"] {
                if self.take(&format!("{modifier} ")) || self.take(&format!("{modifier}(")) {
                    return Err(format!("{modifier} is not known here"));
                }
            }
            let right = self.binary(level + 1)?;
            left = Expr::Binary {
                operator: *operator,
                sides: Box::new((left, right)),
            };
        }
        Ok(left)
    }

    fn operand(&mut self) -> Result<Expr, String> {
        if self.take("(") {
            let inner = self.binary(0)?;
            return self.expect(")").map(|()| inner);
        }
        self.rest = self.rest.trim_start();
        if self.rest.starts_with(|c: char| c.is_ascii_digit()) {
            return self.number();
        }
        let word = self.word();
        if word.is_empty() {
            return self.selector("");
        }
        let aggregator = match word {
            "sum" => Some(Aggregator::Sum),
            "max" => Some(Aggregator::Max),
            "min" => Some(Aggregator::Min),
            "count" => Some(Aggregator::Count),
            "avg" => Some(Aggregator::Avg),
            _ => None,
        };
        if let Some(operator) = aggregator {
            return self.aggregation(operator);
        }
        let function = match word {
            "rate" => Function::Rate,
            "increase" => Function::Increase,
            "max_over_time" => Function::MaxOverTime,
            "min_over_time" => Function::MinOverTime,
            "histogram_quantile" => Function::HistogramQuantile,
            _ if self.take("(") => return Err(format!("{word} is not known here")),
            name => return self.selector(name),
        };
        self.call(function)
    }

    fn number(&mut self) -> Result<Expr, String> {
        let end = self
            .rest
            .find(|c: char| !(c.is_ascii_digit() || c == '.'))
            .unwrap_or(self.rest.len());
        let (number, rest) = self.rest.split_at(end);
        self.rest = rest;
        let number = number.parse().map_err(|_| format!("no number: {number}"))?;
        Ok(Expr::Number(number))
    }

    fn call(&mut self, function: Function) -> Result<Expr, String> {
        self.expect("(")?;
        let mut arguments = vec![self.binary(0)?];
        while self.take(",") {
            arguments.push(self.binary(0)?);
        }
        self.expect(")")?;
        let is_range = |expr: &Expr| matches!(expr, Expr::Selector { range: Some(_), .. });
        let fits = match (function, &*arguments) {
            (Function::HistogramQuantile, [Expr::Number(_), of]) => !is_range(of),
            (Function::HistogramQuantile, _) => false,
            (_, [of]) => is_range(of),
            _ => false,
        };
        match fits {
            true => Ok(Expr::Call { function, arguments }),
            false => Err(format!("{function:?} of {arguments:?}")),
        }
    }

    fn aggregation(&mut self, operator: Aggregator) -> Result<Expr, String> {
        let mut by = Vec::new();
        if self.take("by") {
            self.expect("(")?;
            loop {
                by.push(self.word().to_owned());
                if !self.take(",") {
                    break;
                }
            }
            self.expect(")")?;
        }
        self.expect("(")?;
        let of = self.binary(0)?;
        self.expect(")")?;
        if matches!(of, Expr::Selector { range: Some(_), .. } | Expr::Number(_)) {
            return Err(format!("{operator:?} of {of:?}"));
        }
        let of = Box::new(of);
        Ok(Expr::Aggregation { operator, by, of })
    }

    fn selector(&mut self, name: &str) -> Result<Expr, String> {
        let mut matchers = Vec::new();
        if !name.is_empty() {
            matchers.push(Matcher {
                label: "__name__".to_owned(),
                value: name.to_owned(),
                is_equal: true,
                is_pattern: false,
            });
        }
        if self.take("{") {
            while !self.take("}") {
                matchers.push(self.matcher()?);
                if !self.take(",") {
                    self.expect("}")?;
                    break;
                }
            }
        }
        if matchers.is_empty() {
            return Err(format!("nothing before {:?}", self.rest));
        }
        let mut range = None;
        if self.take("[") {
            range = Some(seconds(self.word())?);
            self.expect("]")?;
        }
        Ok(Expr::Selector { matchers, range })
    }

    fn matcher(&mut self) -> Result<Matcher, String> {
        let label = self.word().to_owned();
        let operators = [
            ("=~", true, true),
            ("!~", false, true),
            ("!=", false, false),
            ("=", true, false),
        ];
        let (_, is_equal, is_pattern) = operators
            .into_iter()
            .find(|(text, ..)| self.take(text))
            .ok_or_else(|| format!("no matcher: {:?}", self.rest))?;
        self.expect("\"")?;
        let (value, rest) = self.rest.split_once('"').ok_or("a text that does not end")?;
        self.rest = rest;
        // Of patterns there are alternatives of plain texts, and in the dashboard a variable.
        if is_pattern && value.contains(|c: char| ".*+?()[]{}^\\".contains(c)) {
            return Err(format!("{value} is not known here"));
        }
        Ok(Matcher {
            label,
            value: value.to_owned(),
            is_equal,
            is_pattern,
        })
    }
}
