use std::{
    collections::HashMap,
    fmt::Display,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use crate::list::{Change, Mutation};

/// Why it could not be tried out.
#[derive(Debug)]
pub(crate) struct Failed(pub(crate) String);

impl<T: Display> From<T> for Failed {
    fn from(why: T) -> Self {
        Self(why.to_string())
    }
}

/// A copy of the repository to break things in.
#[derive(Debug)]
pub(crate) struct Workshop {
    tree: PathBuf,
    build: PathBuf,
    /// The full names of the tests that were green.
    names: HashMap<String, String>,
}

/// A test that takes longer than this hangs, which is as red as a failure: a deadlock shows in no other way.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(50);

impl Workshop {
    /// Copies what git knows, or would, of the repository.
    pub(crate) fn open(root: &Path) -> Result<Self, Failed> {
        let place = root.join("target").join("mutations");
        let workshop = Self {
            tree: place.join("tree"),
            build: place.join("build"),
            names: HashMap::new(),
        };
        if workshop.tree.exists() {
            fs::remove_dir_all(&workshop.tree)?;
        }
        let listed = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root)
            .output()?;
        if !listed.status.success() {
            return Err(String::from_utf8_lossy(&listed.stderr).into());
        }
        for name in String::from_utf8_lossy(&listed.stdout).split('\0') {
            let from = root.join(name);
            // A file may be known and deleted.
            if name.is_empty() || !from.is_file() {
                continue;
            }
            let to = workshop.tree.join(name);
            if let Some(folder) = to.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::copy(from, to)?;
        }
        Ok(workshop)
    }

    /// Without a mutation every test must be there and pass, or its redness would say nothing.
    pub(crate) fn expect_green<'a>(&mut self, tests: impl Iterator<Item = &'a String>) -> Result<(), Failed> {
        let program = self.build()?;
        let known = Command::new(&program).arg("--list").output()?;
        let known = String::from_utf8_lossy(&known.stdout).into_owned();
        for test in tests {
            if self.names.contains_key(test) {
                continue;
            }
            let found: Vec<_> = known
                .lines()
                .filter_map(|line| line.strip_suffix(": test"))
                .filter(|name| *name == test || name.ends_with(&format!("::{test}")))
                .collect();
            let [name] = found[..] else {
                return Err(format!("{} tests are called `{test}`, not one", found.len()).into());
            };
            if !self.passes(&program, name)? {
                return Err(format!("`{test}` is red without any mutation").into());
            }
            self.names.insert(test.clone(), name.to_owned());
        }
        Ok(())
    }

    /// Makes the mistake, looks which of its tests are still green, and mends it.
    pub(crate) fn try_out(&self, mutation: &Mutation) -> Result<Vec<String>, Failed> {
        let mut mended = Vec::new();
        let result = self.break_it(mutation, &mut mended);
        for (path, text) in mended.into_iter().rev() {
            fs::write(path, text)?;
        }
        result
    }

    fn break_it(
        &self,
        mutation: &Mutation,
        mended: &mut Vec<(PathBuf, String)>,
    ) -> Result<Vec<String>, Failed> {
        for Change { file, old, new } in &mutation.changes {
            let path = self.tree.join("crates/buttress/src").join(file);
            let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            let places = text.matches(old.as_str()).count();
            if places != 1 {
                return Err(format!("{file} has {places} places that read `{old}`").into());
            }
            fs::write(&path, text.replacen(old.as_str(), new, 1))?;
            mended.push((path, text));
        }
        let program = self.build()?;
        let mut alive = Vec::new();
        for test in &mutation.tests {
            let name = self.names.get(test).ok_or("was never seen green")?;
            if self.passes(&program, name)? {
                alive.push(test.clone());
            }
        }
        Ok(alive)
    }

    /// The test program of the library.
    fn build(&self) -> Result<PathBuf, Failed> {
        let built = Command::new(env!("CARGO"))
            .args([
                "test",
                "-p",
                "buttress",
                "--lib",
                "--all-features",
                "--no-run",
                "--color=never",
            ])
            .current_dir(&self.tree)
            .env("CARGO_TARGET_DIR", &self.build)
            // Nobody debugs these.
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("CARGO_PROFILE_TEST_DEBUG", "0")
            .output()?;
        let text = String::from_utf8_lossy(&built.stderr);
        if !built.status.success() {
            let errors: Vec<_> = text.lines().filter(|line| line.starts_with("error")).collect();
            return Err(format!("does not compile: {}", errors.join("; ")).into());
        }
        // `  Executable unittests src/lib.rs (path)`
        let path = text
            .lines()
            .rfind(|line| line.trim_start().starts_with("Executable"))
            .and_then(|line| line.split_once('(')?.1.strip_suffix(')'))
            .ok_or("cargo did not say where the test program is")?;
        Ok(self.tree.join(path))
    }

    fn passes(&self, program: &Path, name: &str) -> Result<bool, Failed> {
        let log = File::create(self.build.join("test.log"))?;
        let mut running = Command::new(program)
            .args(["--exact", name])
            .current_dir(self.tree.join("crates/buttress"))
            // Nobody reads the smallest example.
            .env("PROPTEST_MAX_SHRINK_ITERS", "0")
            .stdin(Stdio::null())
            .stderr(log.try_clone()?)
            .stdout(log)
            .spawn()?;
        let mut waited = Duration::ZERO;
        loop {
            if let Some(status) = running.try_wait()? {
                return Ok(status.success());
            }
            if waited >= PATIENCE {
                running.kill()?;
                running.wait()?;
                return Ok(false);
            }
            thread::sleep(LOOK);
            waited += LOOK;
        }
    }
}
