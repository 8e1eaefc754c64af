//! Places in a component's arguments where another component goes.

use std::any::TypeId;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

use super::extract;
use crate::config::{KeyPath, Node};

/// A kind of component: what its instances are and what one is called.
pub trait Kind: 'static {
    /// What building a component of this kind gives.
    type Built: 'static;
    /// The kind's name in messages and in `runner components`: `optimizer`.
    const NAME: &'static str;
    /// Whether `_partial_: true` says what is true anyway: the instance is finished later, by its owner.
    const PARTIAL: bool = false;
}

/// A kind as a value.
#[derive(Clone, Copy, Debug)]
pub struct KindInfo {
    /// [`Kind::NAME`].
    pub name: &'static str,
    /// [`Kind::PARTIAL`].
    pub partial: bool,
    pub(super) id: TypeId,
}

impl KindInfo {
    /// The kind `K`.
    pub fn of<K: Kind>() -> Self {
        KindInfo { name: K::NAME, partial: K::PARTIAL, id: TypeId::of::<K>() }
    }

    /// With its article: `an optimizer`.
    pub fn with_article(&self) -> String {
        let article = if self.name.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
        format!("{article} {}", self.name)
    }
}

/// The raw sub-tree of a component of kind `K`; [`super::Build::build`] makes the instance.
pub struct Slot<K> {
    /// The sub-tree with its `_target_`.
    pub node: Node,
    /// Where it sits in the config.
    pub path: KeyPath,
    kind: PhantomData<fn() -> K>,
}

/// A slot with its kind as a value.
#[derive(Clone)]
pub struct SlotRef {
    /// The sub-tree.
    pub node: Node,
    /// Where it sits.
    pub path: KeyPath,
    /// What must stand there.
    pub kind: KindInfo,
}

impl<K: Kind> Slot<K> {
    /// A slot for a sub-tree that is already at hand.
    pub fn new(node: Node, path: KeyPath) -> Self {
        Slot { node, path, kind: PhantomData }
    }

    /// The `_target_` as written.
    pub fn target(&self) -> Option<&str> {
        self.node.get("_target_")?.as_str()
    }
}

impl<K> Clone for Slot<K> {
    fn clone(&self) -> Self {
        Slot { node: self.node.clone(), path: self.path.clone(), kind: PhantomData }
    }
}

impl<K: Kind> fmt::Debug for Slot<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slot<{}>({})", K::NAME, self.target().unwrap_or("?"))
    }
}

impl<'de, K: Kind> Deserialize<'de> for Slot<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Take<K>(PhantomData<K>);
        impl<K: Kind> Visitor<'_> for Take<K> {
            type Value = Slot<K>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{} with its `_target_`", KindInfo::of::<K>().with_article())
            }
            fn visit_unit<E: de::Error>(self) -> Result<Slot<K>, E> {
                let (node, path) =
                    extract::take_capture().ok_or_else(|| E::custom("a component goes here, in a config only"))?;
                let slot = Slot::new(node, path);
                extract::found(|found| {
                    found.slots.push(SlotRef {
                        node: slot.node.clone(),
                        path: slot.path.clone(),
                        kind: KindInfo::of::<K>(),
                    });
                });
                Ok(slot)
            }
        }
        deserializer.deserialize_newtype_struct(extract::CAPTURE, Take(PhantomData))
    }
}

/// Only needed so that a default (`None`, an empty list) can be shown in a schema.
impl<K> Serialize for Slot<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.node.get("_target_").and_then(Node::as_str) {
            Some(target) => serializer.serialize_some(&std::collections::BTreeMap::from([("_target_", target)])),
            None => serializer.serialize_none(),
        }
    }
}

impl<K: Kind> JsonSchema for Slot<K> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        K::NAME.replace(' ', "_").into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "required": ["_target_"], "x-kind": K::NAME })
    }
    fn inline_schema() -> bool {
        true
    }
}

/// Arguments that the owner of a slot knows better than its user: they are filled in before the component is checked.
pub trait Complete: 'static {
    /// What stands in the slot.
    type Kind: Kind;
    /// Adds what is not given, and takes away what is the owner's own.
    fn complete(node: &mut Node);
}

/// A slot whose owner completes the arguments.
pub struct Completed<C: Complete> {
    /// The sub-tree as written.
    pub node: Node,
    /// Where it sits in the config.
    pub path: KeyPath,
    complete: PhantomData<fn() -> C>,
}

impl<C: Complete> Completed<C> {
    /// A slot for a sub-tree that is already at hand.
    pub fn new(node: Node, path: KeyPath) -> Self {
        Completed { node, path, complete: PhantomData }
    }
}

impl<'de, C: Complete> Deserialize<'de> for Completed<C> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Take<C>(PhantomData<C>);
        impl<C: Complete> Visitor<'_> for Take<C> {
            type Value = Completed<C>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{} with its `_target_`", KindInfo::of::<C::Kind>().with_article())
            }
            fn visit_unit<E: de::Error>(self) -> Result<Completed<C>, E> {
                let (raw, path) =
                    extract::take_capture().ok_or_else(|| E::custom("a component goes here, in a config only"))?;
                let mut node = raw.clone();
                C::complete(&mut node);
                let kind = KindInfo::of::<C::Kind>();
                extract::found(|found| found.slots.push(SlotRef { node, path: path.clone(), kind }));
                Ok(Completed::new(raw, path))
            }
        }
        deserializer.deserialize_newtype_struct(extract::CAPTURE, Take(PhantomData))
    }
}

impl<C: Complete> JsonSchema for Completed<C> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        Slot::<C::Kind>::schema_name()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Slot::<C::Kind>::json_schema(generator)
    }
    fn inline_schema() -> bool {
        true
    }
}

/// A component by itself (a mapping with `_target_`), or something else that holds it: a scheduler, or the mapping
/// that says when it steps.
pub enum SlotOr<K, T> {
    /// The component.
    Slot(Slot<K>),
    /// The other thing.
    Other(T),
}

impl<'de, K: Kind, T: Deserialize<'de>> Deserialize<'de> for SlotOr<K, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Look<K, T>(PhantomData<(K, T)>);
        impl<'de, K: Kind, T: Deserialize<'de>> Visitor<'de> for Look<K, T> {
            type Value = SlotOr<K, T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", KindInfo::of::<K>().with_article())
            }
            fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
                let component = extract::take_capture().is_some_and(|(node, _)| node.get("_target_").is_some());
                if component {
                    Slot::deserialize(deserializer).map(SlotOr::Slot)
                } else {
                    T::deserialize(deserializer).map(SlotOr::Other)
                }
            }
        }
        deserializer.deserialize_newtype_struct(extract::PEEK, Look(PhantomData))
    }
}
