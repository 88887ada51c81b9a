use std::{
    collections::{HashMap, HashSet},
    fmt::Display,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{
    graft::{self, Orchard},
    list::Mutation,
};

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
}

/// The test program of the library, with tests that are green without any mistake.
#[derive(Debug)]
pub(crate) struct Program {
    path: PathBuf,
    folder: PathBuf,
    build: PathBuf,
    /// Those tests in full, and how long each may take.
    tests: HashMap<String, (String, Duration)>,
}

/// An error of the compiler, below the library's sources.
#[derive(Debug)]
struct CompileError {
    file: String,
    line: usize,
    text: String,
}

/// A test that takes longer than this, or many times what it took, hangs, which is as red as a failure: a deadlock
/// shows in no other way.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(20);

impl Workshop {
    /// Copies what git knows, or would, of the repository.
    pub(crate) fn open(root: &Path) -> Result<Self, Failed> {
        let place = root.join("target").join("mutations");
        let workshop = Self {
            tree: place.join("tree"),
            build: place.join("build"),
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

    /// Builds a program that makes each of the mistakes when it is told its number, and says which of them it can make:
    /// those that are inside of functions, and compile; and which are not inside of any.
    pub(crate) fn plant(
        &self,
        mutations: &[Mutation],
    ) -> Result<(Program, HashSet<usize>, Vec<usize>), Failed> {
        let mut orchard = Orchard::default();
        for change in mutations.iter().flat_map(|mutation| &mutation.changes) {
            if !orchard.knows(&change.file) {
                orchard.show(&change.file, self.read(&change.file)?);
            }
        }
        let (mut numbers, mut outside) = (HashSet::new(), Vec::new());
        for (number, mutation) in mutations.iter().enumerate() {
            if orchard.plant(number, mutation) {
                numbers.insert(number);
            } else {
                outside.push(number);
            }
        }
        let root = self.read("lib.rs")?;
        self.write("lib.rs", &format!("{root}{}", graft::SWITCH))?;
        let program = loop {
            let grafted = orchard.grafted();
            for (file, grafted) in &grafted {
                self.write(file, &grafted.text)?;
            }
            let errors = match self.build()? {
                Ok(program) => break program,
                Err(errors) => errors,
            };
            let wrong: HashSet<usize> = errors
                .iter()
                .filter_map(|error| grafted.get(error.file.as_str())?.on_line(error.line))
                .collect();
            if wrong.is_empty() {
                return Err(does_not_compile(&errors));
            }
            for number in wrong {
                orchard.uproot(number);
                numbers.remove(&number);
            }
        };
        // The next build would write over it.
        let path = self.build.join("planted");
        fs::copy(program, &path)?;
        for (file, text) in orchard.as_they_were() {
            self.write(file, text)?;
        }
        self.write("lib.rs", &root)?;
        Ok((self.program(path), numbers, outside))
    }

    /// The program without any mistake.
    pub(crate) fn sound(&self) -> Result<Program, Failed> {
        let path = self.build()?.map_err(|errors| does_not_compile(&errors))?;
        Ok(self.program(path))
    }

    /// Makes the mistake, looks which of its tests are still green, and mends it.
    pub(crate) fn try_alone(&self, mutation: &Mutation, sound: &Program) -> Result<Vec<String>, Failed> {
        let mut mended = Vec::new();
        let result = self.break_it(mutation, sound, &mut mended);
        for (file, text) in mended.into_iter().rev() {
            self.write(file, &text)?;
        }
        result
    }

    fn break_it<'a>(
        &self,
        mutation: &'a Mutation,
        sound: &Program,
        mended: &mut Vec<(&'a str, String)>,
    ) -> Result<Vec<String>, Failed> {
        for change in &mutation.changes {
            let text = self.read(&change.file)?;
            let place = change
                .place(&text)
                .ok_or_else(|| format!("{} has not one place that reads `{}`", change.file, change.old))?;
            let mut broken = text.clone();
            broken.replace_range(place, &change.new);
            self.write(&change.file, &broken)?;
            mended.push((&change.file, text));
        }
        let path = self.build()?.map_err(|errors| does_not_compile(&errors))?;
        sound.at(path).alive(mutation, None)
    }

    fn program(&self, path: PathBuf) -> Program {
        Program {
            path,
            folder: self.tree.join("crates/buttress"),
            build: self.build.clone(),
            tests: HashMap::new(),
        }
    }

    /// The test program of the library.
    fn build(&self) -> Result<Result<PathBuf, Vec<CompileError>>, Failed> {
        let built = Command::new(env!("CARGO"))
            .args(["test", "-p", "buttress", "--lib", "--all-features", "--no-run"])
            .args(["--color=never", "--message-format=short"])
            .current_dir(&self.tree)
            .env("CARGO_TARGET_DIR", &self.build)
            // Nobody debugs these.
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("CARGO_PROFILE_TEST_DEBUG", "0")
            .output()?;
        let text = String::from_utf8_lossy(&built.stderr);
        if !built.status.success() {
            let mut errors: Vec<_> = text.lines().filter_map(CompileError::parse).collect();
            if errors.is_empty() {
                return Err(text.into());
            }
            errors.dedup_by(|a, b| a.file == b.file && a.line == b.line);
            return Ok(Err(errors));
        }
        // `  Executable unittests src/lib.rs (path)`
        let path = text
            .lines()
            .rfind(|line| line.trim_start().starts_with("Executable"))
            .and_then(|line| line.split_once('(')?.1.strip_suffix(')'))
            .ok_or("cargo did not say where the test program is")?;
        Ok(Ok(self.tree.join(path)))
    }

    fn path(&self, file: &str) -> PathBuf {
        self.tree.join("crates/buttress/src").join(file)
    }

    fn read(&self, file: &str) -> Result<String, Failed> {
        fs::read_to_string(self.path(file)).map_err(|error| format!("{file}: {error}").into())
    }

    fn write(&self, file: &str, text: &str) -> Result<(), Failed> {
        let path = self.path(file);
        // A file that is new for nothing is compiled for nothing.
        if fs::read_to_string(&path).is_ok_and(|old| old == text) {
            return Ok(());
        }
        Ok(fs::write(path, text)?)
    }
}

impl Program {
    /// Finds those tests that are green, and says of the others why they are not.
    pub(crate) fn expect_green<'a>(
        &mut self,
        tests: impl Iterator<Item = &'a String>,
    ) -> Result<HashMap<String, String>, Failed> {
        let known = Command::new(&self.path).arg("--list").output()?;
        let known = String::from_utf8_lossy(&known.stdout).into_owned();
        let mut others = HashMap::new();
        for test in tests {
            if self.tests.contains_key(test) || others.contains_key(test) {
                continue;
            }
            let names = known.lines().filter_map(|line| line.strip_suffix(": test"));
            let found: Vec<_> = if is_many(test) {
                vec![test.as_str()]
            } else {
                names
                    .filter(|name| *name == test || name.ends_with(&format!("::{test}")))
                    .collect()
            };
            let [name] = found[..] else {
                others.insert(
                    test.clone(),
                    format!("{} tests are called `{test}`, not one", found.len()),
                );
                continue;
            };
            let start = Instant::now();
            if self.passes(name, PATIENCE * 10, None)? {
                let patience = match is_many(test) {
                    true => PATIENCE / 4 + start.elapsed() * 4,
                    false => PATIENCE.max(start.elapsed() * 5),
                };
                self.tests.insert(test.clone(), (name.to_owned(), patience));
            } else {
                others.insert(test.clone(), format!("`{test}` is red without any mutation"));
            }
        }
        Ok(others)
    }

    /// The tests of a mistake that are green though it is made.
    pub(crate) fn alive(&self, mutation: &Mutation, number: Option<usize>) -> Result<Vec<String>, Failed> {
        let mut alive = Vec::new();
        for test in &mutation.tests {
            let (name, patience) = self.tests.get(test).ok_or("was never seen green")?;
            if self.passes(name, *patience, number)? {
                alive.push(test.clone());
            } else if mutation.is_found_by_any {
                return Ok(Vec::new());
            }
        }
        Ok(alive)
    }

    /// The same tests of another build.
    fn at(&self, path: PathBuf) -> Self {
        Self {
            path,
            folder: self.folder.clone(),
            build: self.build.clone(),
            tests: self.tests.clone(),
        }
    }

    fn passes(&self, name: &str, patience: Duration, number: Option<usize>) -> Result<bool, Failed> {
        // One for each that runs at the same time.
        let path = self
            .build
            .join(format!("test-{}.log", number.unwrap_or_default()));
        let log = File::create(&path)?;
        let mut command = Command::new(&self.path);
        if !is_many(name) {
            command.arg("--exact");
        }
        if let Some(number) = number {
            command.env(graft::VARIABLE, number.to_string());
        }
        let mut running = command
            .arg(name)
            .current_dir(&self.folder)
            // Nobody reads the smallest example.
            .env("PROPTEST_MAX_SHRINK_ITERS", "0")
            .stdin(Stdio::null())
            .stderr(log.try_clone()?)
            .stdout(log)
            .spawn()?;
        let start = Instant::now();
        loop {
            if let Some(status) = running.try_wait()? {
                return Ok(status.success());
            }
            let is_red = is_many(name) && is_red(&path)?;
            if is_red || start.elapsed() >= patience {
                running.kill()?;
                running.wait()?;
                return Ok(false);
            }
            thread::sleep(LOOK);
        }
    }
}

/// Whether all tests with that in their names are meant.
fn is_many(test: &str) -> bool {
    test.ends_with("::")
}

/// Whether one of many has failed already: the others need not be waited for.
fn is_red(log: &Path) -> Result<bool, Failed> {
    Ok(fs::read(log)?
        .split(|byte| *byte == b'\n')
        .any(|line| line.starts_with(b"test ") && line.ends_with(b"FAILED")))
}

fn does_not_compile(errors: &[CompileError]) -> Failed {
    let errors: Vec<_> = errors
        .iter()
        .map(|error| format!("{}:{}: {}", error.file, error.line, error.text))
        .collect();
    format!("does not compile: {}", errors.join("; ")).into()
}

impl CompileError {
    /// `crates/buttress/src/a.rs:1:2: error[E0308]: mismatched types: ...`
    fn parse(line: &str) -> Option<Self> {
        let (place, text) = line.split_once(": error")?;
        let mut parts = place.strip_prefix("crates/buttress/src/")?.split(':');
        Some(Self {
            file: parts.next()?.to_owned(),
            line: parts.next()?.parse().ok()?,
            text: text.split_once(": ")?.1.to_owned(),
        })
    }
}
