//! A queue from a configuration file.

use super::{
    Ageing, Classifier, Concurrency, Discipline, Hold, Priority, PriorityQueueBuilder,
    builder::LONGEST,
    limit::{Adaptive, Aimd, Gradient2, Vegas},
    slots::MOST,
};
use crate::{
    config::{Given, Section, Setting},
    value::Value,
};

impl PriorityQueueBuilder {
    /// Reads the options from a section, under the names of the setters; what is absent keeps its default.
    ///
    /// ```toml
    /// [priority]
    /// concurrency = 64             # or { adaptive = "gradient2", min = 4, max = 512, initial = 20 }
    /// queue = 1024
    /// reserved = 4                 # slots for critical calls only
    /// classify = { header = "priority" }   # RFC 9218 urgency, or a header with class names
    /// ageing = "promote"           # or "demote", "off", { promote_after = "2s" }, { demote_after = "5s", to = "low" }
    /// max_queue_time = { critical = "5s", normal = "1s", background = "200ms" }   # or "1s" for all
    /// discipline = "fifo"          # or "adaptive_lifo", "codel"
    /// hold = "auto"                # or "headers", "end"
    /// hold_routes = { "/chat.Room/Join" = "headers" }
    /// ```
    ///
    /// Further keys of `classify` are `min` and `max` (what can be claimed), `routes` (a table of classes) and `default`;
    /// of an adaptive concurrency `backoff` and `slow_after` for `"aimd"`, `tolerance` for `"gradient2"`; of the discipline
    /// `{ adaptive_lifo = { after = "100ms" } }` and `{ codel = { target = "5ms", interval = "100ms" } }`. `shed_by_load`
    /// is true or false. Classes are names or numbers.
    ///
    /// ```
    /// use buttress::{config, priority::{PriorityQueue, PriorityQueueBuilder}, value::Table};
    ///
    /// let table = Table::new().with("concurrency", 8_u64).with("ageing", "off");
    /// let options = config::read(&table, PriorityQueueBuilder::read)?;
    /// assert_eq!(
    ///     options,
    ///     PriorityQueue::builder().concurrency(8).ageing(buttress::priority::Ageing::Off),
    /// );
    /// # Ok::<(), buttress::ConfigError>(())
    /// ```
    pub fn read(section: &mut Section<'_, '_>) -> Self {
        let mut options = Self::default()
            .given(section.text("name"), Self::name)
            .given(
                section.setting("concurrency").and_then(concurrency),
                Self::concurrency,
            )
            .given(section.number("queue", 0..=LONGEST), Self::queue)
            .given(section.number("reserved", 0..=MOST), Self::reserved)
            .given(section.setting("classify").and_then(classifier), Self::classifier)
            .given(section.setting("ageing").and_then(ageing), Self::ageing)
            .given(
                section.setting("discipline").and_then(discipline),
                Self::discipline,
            )
            .given(section.boolean("shed_by_load"), Self::shed_by_load)
            .given(section.one_of("hold", &HOLDS), Self::hold);
        if let Some(setting) = section.setting("max_queue_time") {
            options = max_queue_time(options, setting);
        }
        if let Some(mut routes) = section.section("hold_routes") {
            for (route, hold) in routes.each(|_, hold| hold.one_of(&HOLDS)) {
                options = options.hold_route(route, hold);
            }
        }
        options
    }
}

const HOLDS: [(&str, Hold); 3] = [
    ("auto", Hold::Auto),
    ("headers", Hold::Headers),
    ("end", Hold::End),
];

const AGEINGS: [(&str, Ageing); 3] = [
    ("off", Ageing::Off),
    ("promote", Ageing::promote()),
    ("demote", Ageing::demote()),
];

const DISCIPLINES: [(&str, Discipline); 3] = [
    ("fifo", Discipline::Fifo),
    ("adaptive_lifo", Discipline::adaptive_lifo()),
    ("codel", Discipline::codel()),
];

fn class(setting: Setting<'_, '_>) -> Option<Priority> {
    match setting.value() {
        Value::UInt(_) | Value::Int(_) | Value::Float(_) => setting.number(0..=100_u8).map(Priority::new),
        _ => setting.parse("critical, high, normal, low, background, or a number from 0 to 100"),
    }
}

fn concurrency(setting: Setting<'_, '_>) -> Option<Concurrency> {
    if !matches!(setting.value(), Value::Table(_)) {
        return setting.number(1..=MOST).map(Concurrency::Fixed);
    }
    #[derive(Clone, Copy)]
    enum Name {
        Aimd,
        Vegas,
        Gradient2,
    }
    let mut section = setting.section()?;
    section.require(&["adaptive"]);
    let names = [
        ("aimd", Name::Aimd),
        ("vegas", Name::Vegas),
        ("gradient2", Name::Gradient2),
    ];
    let mut adaptive = match section.one_of("adaptive", &names) {
        Some(Name::Aimd) => {
            let aimd = Aimd::new().slow_after(section.duration("slow_after"));
            let backoff = section.ratio("backoff", 0.5..=0.999);
            Adaptive::from(backoff.map_or(aimd.clone(), |backoff| aimd.backoff(backoff)))
        }
        Some(Name::Vegas) => Adaptive::from(Vegas::new()),
        Some(Name::Gradient2) | None => {
            let tolerance = section.ratio("tolerance", 1.05..=3.0);
            Adaptive::from(tolerance.map_or(Gradient2::new(), |factor| Gradient2::new().tolerance(factor)))
        }
    };
    if let Some(min) = section.number("min", 1..=MOST) {
        adaptive = adaptive.min(min);
    }
    if let Some(max) = section.number("max", 1..=MOST) {
        adaptive = adaptive.max(max);
    }
    if let Some(initial) = section.number("initial", 1..=MOST) {
        adaptive = adaptive.initial(initial);
    }
    Some(adaptive.into())
}

fn classifier(setting: Setting<'_, '_>) -> Option<Classifier> {
    let mut section = setting.section()?;
    let mut classifier = Classifier::default();
    if let Some(header) = section.text("header") {
        classifier = classifier.field(header.to_ascii_lowercase());
    }
    let least = section.setting("min").and_then(class);
    let most = section.setting("max").and_then(class);
    classifier = classifier.claims(least.unwrap_or(Priority::new(0))..=most.unwrap_or(Priority::HIGH));
    if let Some(mut routes) = section.section("routes") {
        for (route, class) in routes.each(|_, setting| class(setting)) {
            classifier = classifier.route(route, class);
        }
    }
    if let Some(otherwise) = section.setting("default").and_then(class) {
        classifier = classifier.otherwise(otherwise);
    }
    Some(classifier)
}

fn ageing(setting: Setting<'_, '_>) -> Option<Ageing> {
    if !matches!(setting.value(), Value::Table(_)) {
        return setting.one_of(&AGEINGS);
    }
    let mut section = setting.section()?;
    let promote = section.duration("promote_after");
    let demote = section.duration("demote_after");
    let to = section.setting("to").and_then(class);
    if let Some(after) = promote {
        for (key, given) in [("demote_after", demote.is_some()), ("to", to.is_some())] {
            if given {
                section.refuse(key, "either this or `promote_after`");
            }
        }
        return Some(Ageing::Promote { after });
    }
    match Ageing::demote() {
        Ageing::Demote { after, to: low } if demote.is_some() || to.is_some() => Some(Ageing::Demote {
            after: demote.unwrap_or(after),
            to: to.unwrap_or(low),
        }),
        _ => None,
    }
}

fn discipline(setting: Setting<'_, '_>) -> Option<Discipline> {
    if !matches!(setting.value(), Value::Table(_)) {
        return setting.one_of(&DISCIPLINES);
    }
    let mut section = setting.section()?;
    let mut chosen = None;
    if let (Some(mut lifo), Discipline::AdaptiveLifo { after }) =
        (section.section("adaptive_lifo"), Discipline::adaptive_lifo())
    {
        let after = lifo.duration("after").unwrap_or(after);
        chosen = Some(Discipline::AdaptiveLifo { after });
    }
    if let (Some(mut codel), Discipline::CoDel { target, interval }) =
        (section.section("codel"), Discipline::codel())
    {
        let target = codel.duration("target").unwrap_or(target);
        let interval = codel.duration("interval").unwrap_or(interval);
        chosen = Some(Discipline::CoDel { target, interval });
    }
    chosen
}

fn max_queue_time(mut options: PriorityQueueBuilder, setting: Setting<'_, '_>) -> PriorityQueueBuilder {
    if !matches!(setting.value(), Value::Table(_)) {
        let time = setting.duration();
        for (_, class) in Priority::bands() {
            options = options.max_queue_time(class, time);
        }
        return options;
    }
    if let Some(mut section) = setting.section() {
        for (name, class) in Priority::bands() {
            if let Some(time) = section.duration(name) {
                options = options.max_queue_time(class, time);
            }
        }
    }
    options
}
