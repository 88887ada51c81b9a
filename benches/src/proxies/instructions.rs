use std::{error::Error, io::Write};

use super::{
    clients::Clients,
    proxy::{NOTHING, POLICIES, Running, every_policy},
    upstream,
};

const FEW: usize = 200;
const MANY: usize = 1_200;

/// Instructions of the gateway, in user space, for a request: without policies, with each of them alone, and with all.
///
/// # Errors
///
/// If valgrind cannot be run.
pub fn instructions(out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let nothing = counted(NOTHING)?;
    writeln!(out, "{:<16} {nothing:>8.0}", "none")?;
    for (name, section) in POLICIES {
        let others = match name {
            "metrics" => "recover = false\n",
            "recover" => "metrics = false\n",
            _ => NOTHING,
        };
        let routes = if name == "metrics" {
            "routes = [\"/users/{id}\"]\n"
        } else {
            ""
        };
        let count = counted(&format!("{routes}{others}{section}"))?;
        writeln!(out, "{name:<16} {count:>8.0} {:+8.0}", count - nothing)?;
    }
    let all = counted(&every_policy())?;
    writeln!(out, "{:<16} {all:>8.0} {:+8.0}", "all", all - nothing)?;
    Ok(())
}

/// What it took to start is in both counts.
fn counted(policies: &str) -> Result<f64, Box<dyn Error>> {
    Ok((total(policies, MANY)? - total(policies, FEW)?) / (MANY - FEW) as f64)
}

fn total(policies: &str, requests: usize) -> Result<f64, Box<dyn Error>> {
    let upstream = upstream::Process::start()?;
    let gateway = Running::counted(policies, upstream.addresses[0])?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        Clients::connect(gateway.address, 1)
            .await?
            .so_many(requests)
            .await
    })?;
    let said = gateway.stop()?;
    let count = said
        .lines()
        .find_map(|line| line.split_once("Collected : "))
        .and_then(|(_, count)| count.trim().parse().ok());
    count.ok_or_else(|| format!("no count in what valgrind said: {said}").into())
}
