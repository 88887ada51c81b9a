//! How the [slots](super::slots) become a struct, its setters and two orders of layers.

/// The type of layers one inside the other, written outside in as one reads it. [`tower_layer::Stack`] is written
/// inside out.
macro_rules! Chain {
    (@ $outer:ty;) => { $outer };
    (@ $outer:ty; $next:ty, $($rest:ty,)*) => { Chain!(@ tower_layer::Stack<$next, $outer>; $($rest,)*) };
    ($($layer:ty,)+) => { Chain!(@ Identity; $($layer,)+) };
}

/// From the table of slots, the struct of what stands in them, and what is to be done with it.
macro_rules! slots {
    (
        slots { $($slot:ident: $Slot:ident = $Default:ident [$Client:ty | $Server:ty] { $($setters:tt)* })* }
        client { $($client:tt)* } endpoint { $($endpoint:tt)* }
        server { $($server:tt)* }
    ) => {
        /// What stands in the slots of a [`Stack`]: a policy, `None` for one that is off, or [`Identity`] for nothing.
        #[derive(Clone, Debug)]
        pub struct Slots<$($Slot = $Default),*> {
            $(pub(super) $slot: $Slot,)*
        }

        impl Default for Slots {
            fn default() -> Self {
                Self { $($slot: $Default::new(),)* }
            }
        }

        impl<K, $($Slot),*> Stack<K, Slots<$($Slot),*>> {
            setters! { [] $($slot: $Slot { $($setters)* })* }
        }

        order! { [$($Slot)*] [P: Clone, M: Clone] Client<P, M>: $($client)* $($endpoint)* }
        split! { [$($Slot)*] { $($client)* } { $($endpoint)* } }
        #[cfg(feature = "http")]
        order! { [$($Slot)*] [P: Clone] Server<P>: $($server)* }

        full! {
            [$($Slot)*] [P: FileFallback, M] Client<P, M>: ClientSlots<P, ErrorSlot, Outside, Inside, PoolSlot> {
                $($slot: $Slot => $Client,)*
            }
        }
        #[cfg(feature = "http")]
        full! {
            [$($Slot)*] [P] Server<P>: ServerSlots<RespondSlot, ErrorSlot, Outside, Inside> {
                $($slot: $Slot => $Server,)*
            }
        }
    };
}

/// The setters of each slot, which leave those before and after it alone.
macro_rules! setters {
    (
        [$($before:ident: $Before:ident,)*]
        $slot:ident: $Slot:ident { $($setters:tt)* }
        $($after:ident: $After:ident { $($later:tt)* })*
    ) => {
        setter! { [$($before: $Before,)*] $slot [$($after: $After,)*] $($setters)* }
        setters! { [$($before: $Before,)* $slot: $Slot,] $($after: $After { $($later)* })* }
    };
    ([$($before:tt)*]) => {};
}

/// The setters of one slot.
macro_rules! setter {
    ([$($before:tt)*] $slot:ident [$($after:tt)*]) => {};
    // Of a time limit, which may have to be checked first.
    (
        [$($before:ident: $Before:ident,)*] $slot:ident [$($after:ident: $After:ident,)*]
        $(#[$meta:meta])*
        fn $name:ident(limit: $Policy:ty) where $Kind:ident: $Bound:ident;
        $($rest:tt)*
    ) => {
        $(#[$meta])*
        pub fn $name<L>(self, limit: L) -> L::Set<Stack<K, Slots<$($Before,)* Option<$Policy>, $($After,)*>>>
        where
            L: TimeLimit<$Policy>,
            $Kind: $Bound,
        {
            limit.set(|limit| Stack {
                place: self.place,
                kind: self.kind,
                slots: Slots {
                    $($before: self.slots.$before,)*
                    $slot: limit,
                    $($after: self.slots.$after,)*
                },
            })
        }

        setter! { [$($before: $Before,)*] $slot [$($after: $After,)*] $($rest)* }
    };
    (
        [$($before:ident: $Before:ident,)*] $slot:ident [$($after:ident: $After:ident,)*]
        $(#[$meta:meta])*
        fn $name:ident$(<$($generic:ident $(: $Trait:path)?),+>)?($($argument:ident: $type:ty)?) -> $New:ty
            $(where $Kind:ident: $Bound:ident)? = $value:expr;
        $($rest:tt)*
    ) => {
        $(#[$meta])*
        pub fn $name$(<$($generic $(: $Trait)?),+>)?(
            self,
            $($argument: $type)?
        ) -> Stack<K, Slots<$($Before,)* $New, $($After,)*>>
        $(where $Kind: $Bound)?
        {
            Stack {
                place: self.place,
                kind: self.kind,
                slots: Slots {
                    $($before: self.slots.$before,)*
                    $slot: $value,
                    $($after: self.slots.$after,)*
                },
            }
        }

        setter! { [$($before: $Before,)*] $slot [$($after: $After,)*] $($rest)* }
    };
}

/// The order of the layers in one kind of stack, between the user's own. Of a slot whose layer may send requests again
/// it says which such slots are further out, and which further in; of a slot that has a place for each attempt besides,
/// that this is it.
macro_rules! order {
    (
        [$($Slot:ident)*] [$($generic:ident: $Trait:ident),*] $Kind:ty:
        $($at:ident: $At:ident $(between ($Outer:ty, $Inner:ty))? $(of $each:ident attempt)?,)*
    ) => {
        impl<$($generic: $Trait,)* $($Slot),*> Build<$Kind> for Slots<$($Slot),*>
        where
            $($At: Slot<kind_at!($Kind $(, $Outer, $Inner)? $(; $each)?)>,)*
            $($($At: Keeps, $Outer: Keeps, $Inner: Keeps,)?)*
        {
            type Layers = Chain!(
                Outside,
                $(<$At as Slot<kind_at!($Kind $(, $Outer, $Inner)? $(; $each)?)>>::Layer,)*
                Inside,
            );

            fn build(self, kind: &$Kind, mut place: Place) -> ServiceBuilder<Self::Layers> {
                $(Slot::<kind_at!($Kind $(, $Outer, $Inner)? $(; $each)?)>::prepare(&self.$at, &mut place);)*
                ServiceBuilder::new()
                    .layer(self.outside)
                    $(.layer(self.$at.to_layer(at!(kind $(, $Outer, $Inner)? $(; $each)?), &place)))*
                    .layer(self.inside)
            }
        }
    };
}

/// The order of the layers in a client's stack that is split at the last slot of its first half, the pool: that slot is
/// empty, and what stands between the halves takes the bodies that are sent again as they are.
macro_rules! split {
    (
        [$($Slot:ident)*]
        { $($up:ident: $Up:ident $(between ($Outer:ty, $Inner:ty))?,)* }
        { $($low:ident: $Low:ident $(of $each:ident attempt)?,)* }
    ) => {
        impl<P: Clone, M: Clone, $($Slot),*> Split<Client<P, M>> for Slots<$($Slot),*>
        where
            PoolSlot: Unfilled,
            $($Up: Slot<kind_at!(Client<P, Bare> $(, $Outer, $Inner)?)>,)*
            $($($Up: Keeps, $Outer: Keeps, $Inner: Keeps,)?)*
            $($Low: Slot<kind_at!(Client<P, M> $(; $each)?)>,)*
        {
            type Upper = Chain!(
                Outside,
                $(<$Up as Slot<kind_at!(Client<P, Bare> $(, $Outer, $Inner)?)>>::Layer,)*
            );
            type Lower = Chain!(
                Identity,
                $(<$Low as Slot<kind_at!(Client<P, M> $(; $each)?)>>::Layer,)*
                Inside,
            );
            type Keeping = (((FallbackSlot, RetrySlot), HedgeSlot), ());

            fn split(
                self,
                kind: &Client<P, M>,
                place: &mut Place,
            ) -> (ServiceBuilder<Self::Upper>, ServiceBuilder<Self::Lower>) {
                let upper = &Client { protocol: kind.protocol.clone(), mode: Bare };
                place.set_pooled();
                $(Slot::<kind_at!(Client<P, Bare> $(, $Outer, $Inner)?)>::prepare(&self.$up, place);)*
                $(Slot::<kind_at!(Client<P, M> $(; $each)?)>::prepare(&self.$low, place);)*
                let upper = ServiceBuilder::new()
                    .layer(self.outside)
                    $(.layer(self.$up.to_layer(at!(upper $(, $Outer, $Inner)?), place)))*;
                let lower = ServiceBuilder::new()
                    .layer(Identity::new())
                    $(.layer(self.$low.to_layer(at!(kind $(; $each)?), place)))*
                    .layer(self.inside);
                (upper, lower)
            }
        }
    };
}

/// The kind of stack as a slot sees it, whose layer may send requests again, or is there for each attempt.
macro_rules! kind_at {
    ($Kind:ty; $each:ident) => { Attempts<$Kind> };
    ($Kind:ty) => { $Kind };
    ($Kind:ty, $Outer:ty, $Inner:ty) => { <$Kind as Calls>::Between<$Outer, $Inner> };
}

/// The same, the value.
macro_rules! at {
    ($kind:ident; $each:ident) => {
        &Attempts($kind.clone())
    };
    ($kind:ident) => {
        $kind
    };
    ($kind:ident, $Outer:ty, $Inner:ty) => {
        &$kind.between::<$Outer, $Inner>()
    };
}

/// What a kind of stack has in its slots if it has something in each.
macro_rules! full {
    (
        [$($Slot:ident)*] [$($generic:ident $(: $Trait:ident)?),*]
        $Kind:ty: $Full:ident<$($own:ident),*> { $($slot:ident: $From:ident => $To:ty,)* }
    ) => {
        with_every_concern! {
            /// Slots of which each has its policy, which may be off. The layers that are no policies are as they are.
            pub type $Full<$($own),*> = Slots<$($To),*>;

            impl<$($generic $(: $Trait)?,)* $($Slot),*> Fill<$Kind> for Slots<$($Slot),*>
            where
                $($From: FillSlot<$To>,)*
            {
                type Full = $Full<$($own),*>;

                fn fill(self) -> Self::Full {
                    Slots { $($slot: self.$slot.fill_slot(),)* }
                }
            }
        }
    };
}

/// Items that are there if every concern is that has a slot.
macro_rules! with_every_concern {
    ($($item:item)*) => {$(
        #[cfg(all(
            feature = "circuit-breaker",
            feature = "fallback",
            feature = "hedge",
            feature = "metrics",
            feature = "priority",
            feature = "rate-limit",
            feature = "recover",
            feature = "retry",
            feature = "timeout",
            feature = "trace-id"
        ))]
        $item
    )*};
}
