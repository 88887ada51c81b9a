//! The cases in the form of `promtool test rules`.

use std::fmt::Write;

use crate::{
    STEP,
    cases::{Alert, Case},
    rules::Rule,
};

pub(crate) fn yaml(rules: &[Rule], cases: &[Case]) -> String {
    let mut text = format!(
        "# Series that fire the alerts, and such as do not: `promtool test rules alerts.test.yaml`.\n\
         # Written by the test `alerts` from its cases; see there.\n\
         rule_files:\n  - alerts.yaml\nevaluation_interval: {STEP}s\ntests:\n"
    );
    for case in cases {
        // Writing to a string does not fail.
        let _ = write_case(&mut text, rules, case);
    }
    text
}

fn write_case(text: &mut String, rules: &[Rule], case: &Case) -> std::fmt::Result {
    writeln!(text, "  - name: {}", case.name)?;
    writeln!(text, "    interval: {STEP}s")?;
    writeln!(text, "    input_series:")?;
    for series in &case.series {
        writeln!(text, "      - series: '{}'", series.selector())?;
        writeln!(text, "        values: '{}'", series.values())?;
    }
    writeln!(text, "    alert_rule_test:")?;
    for look in &case.looks {
        // What is not to fire has to be asked for as well.
        for rule in rules {
            writeln!(text, "      - eval_time: {}s", look.at)?;
            writeln!(text, "        alertname: {}", rule.name)?;
            let alerts: Vec<&Alert> = look.alerts.iter().filter(|a| a.name == rule.name).collect();
            if alerts.is_empty() {
                writeln!(text, "        exp_alerts: []")?;
                continue;
            }
            writeln!(text, "        exp_alerts:")?;
            for alert in alerts {
                writeln!(text, "          - exp_labels:")?;
                for (key, value) in &alert.labels {
                    writeln!(text, "              {key}: {value}")?;
                }
                writeln!(text, "              severity: {}", rule.severity)?;
                writeln!(text, "            exp_annotations:")?;
                writeln!(text, "              summary: \"{}\"", alert.summary)?;
                writeln!(text, "              description: \"{}\"", rule.description())?;
            }
        }
    }
    Ok(())
}
