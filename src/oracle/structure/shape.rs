//! What the trees of a database are, as SQLite says it of the schema: tables, indexes, the order of their keys, and which
//! values of a row stand in which index.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, atomic::AtomicBool},
};

use rusqlite::{Connection, limits::Limit, types::Value};

use super::{
    super::walk::Tree,
    key::{Collation, KeyColumn, Order},
};
use crate::{
    dataset::adopt,
    digest::Part,
    oracle::content::{Meaning, meaning},
    oracle::scan::Layout,
    sqlite,
};

/// Bytes of the default value of a column at most.
const DEFAULT_BYTES_MOST: i32 = 1 << 24;

/// The trees of a database.
#[derive(Debug)]
pub(super) struct Shape {
    pub trees: Vec<Tree>,
    /// The name of the table that each tree is, or is an index of.
    pub tables: Vec<String>,
    /// How the records of each tree are read.
    pub kinds: Vec<Kind>,
    /// The tables and indexes that are compared.
    pub pairs: Vec<Pair>,
    /// Tables that have something which is not read here.
    pub left_to_sqlite: Vec<String>,
    /// Whether the tables are a tracker's, and nothing else than those.
    pub is_tracker: bool,
}

/// A table and one of its indexes, by their positions among the trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pair {
    pub table: usize,
    pub index: usize,
}

/// How the records of a tree are read.
#[derive(Debug)]
pub(super) enum Kind {
    /// A table with rowids, `sqlite_schema` among them.
    Rows { paired: Vec<Paired>, content: Option<Content> },
    /// A table WITHOUT ROWID, or an index.
    Keys { order: Option<Order>, paired: Vec<Paired>, entries_of: Option<usize> },
}

/// What of a row stands in one of its table's indexes.
#[derive(Debug)]
pub(super) struct Paired {
    /// By position among [`Shape::pairs`].
    pub pair: usize,
    pub columns: Vec<Source>,
}

/// Where a value of an index entry comes from.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Source {
    Rowid,
    /// The value at this place of the row's record, or this one where the row is older than the column.
    Stored {
        at: usize,
        default: Value,
    },
}

/// How rows of a tracker's tables are hashed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Content {
    pub part: Part,
    pub columns: usize,
    /// Whether the first column is the rowid.
    pub with_id: bool,
}

/// Why there is no shape.
#[derive(Debug)]
pub(super) enum ShapeError {
    NotUnderstood(String),
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for ShapeError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// A row of `sqlite_schema` that has a tree, or is a virtual table.
struct Object {
    is_index: bool,
    name: String,
    table: String,
    root: u32,
}

/// A column of a table.
struct Column {
    is_integer: bool,
    in_key: bool,
    /// A generated column that is computed whenever it is read.
    is_virtual: bool,
    declared: String,
    default: Option<String>,
}

/// What `PRAGMA index_xinfo` says of a column of an index.
struct IndexColumn {
    /// Of the table; -1 for the rowid, -2 for an expression.
    column: i64,
    collation: String,
    descending: bool,
    is_key: bool,
}

impl Shape {
    /// Asks SQLite what a file holds. The file is closed again afterwards.
    pub fn ask(path: &Path, interrupted: &Arc<AtomicBool>) -> Result<Self, ShapeError> {
        let connection = sqlite::open_file(path, interrupted)?;
        let shape = Self::read(&connection)?;
        connection.close().map_err(|(_, error)| error)?;
        Ok(shape)
    }

    fn read(connection: &Connection) -> Result<Self, ShapeError> {
        let objects = objects(connection)?;
        if objects.len() >= usize::from(u16::MAX) {
            return Err(ShapeError::NotUnderstood(format!("it has {} tables and indexes", objects.len())));
        }
        let mut shape = Self {
            trees: vec![Tree { name: "sqlite_schema".into(), root: 1, is_index: false }],
            tables: vec!["sqlite_schema".into()],
            kinds: vec![Kind::Rows { paired: Vec::new(), content: None }],
            pairs: Vec::new(),
            left_to_sqlite: Vec::new(),
            is_tracker: adopt::is_trackers(connection)?,
        };
        let has_tree = |object: &&Object| object.root != 0;
        let places: HashMap<String, usize> =
            objects.iter().filter(has_tree).zip(1..).map(|(object, place)| (object.name.clone(), place)).collect();
        for object in &objects {
            if object.root == 0 {
                shape.left_to_sqlite.push(object.name.clone());
            } else if object.is_index {
                shape.add_index(connection, object)?;
            } else {
                shape.add_table(connection, object, &places)?;
            }
        }
        for (place, pair) in shape.pairs.iter().enumerate() {
            if let Some(Kind::Keys { entries_of, .. }) = shape.kinds.get_mut(pair.index) {
                *entries_of = Some(place);
            }
        }
        Ok(shape)
    }

    fn push_tree(&mut self, object: &Object, is_index: bool) {
        self.trees.push(Tree { name: object.name.clone(), root: object.root, is_index });
        self.tables.push(object.table.clone());
    }

    fn add_index(&mut self, connection: &Connection, object: &Object) -> Result<(), ShapeError> {
        let columns = index_columns(connection, &object.name)?;
        let is_unique = "SELECT \"unique\" FROM pragma_index_list(?1) WHERE name = ?2";
        let is_unique = connection.query_row(is_unique, [&object.table, &object.name], |row| row.get::<_, bool>(0))?;
        let unique = is_unique.then(|| columns.iter().filter(|column| column.is_key).count());
        self.push_tree(object, true);
        self.kinds.push(Kind::Keys { order: order(&columns, unique), paired: Vec::new(), entries_of: None });
        Ok(())
    }

    fn add_table(
        &mut self,
        connection: &Connection,
        object: &Object,
        places: &HashMap<String, usize>,
    ) -> Result<(), ShapeError> {
        let table = self.trees.len();
        let columns = columns(connection, &object.name)?;
        let indexes = connection
            .prepare("SELECT name, partial, origin = 'pk' FROM pragma_index_list(?1)")?
            .query_map([&object.name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<rusqlite::Result<Vec<(String, bool, bool)>>>()?;
        // The key of a table WITHOUT ROWID is an index that has no tree of its own.
        let own = indexes.iter().find(|(name, ..)| !places.contains_key(name));
        let key = own.map(|(name, ..)| index_columns(connection, name)).transpose()?;
        let has_key_index = indexes.iter().any(|(_, _, is_key)| *is_key);
        let stored = stored_places(&columns, key.as_deref());
        let source = |column: &IndexColumn| -> Result<Option<Source>, ShapeError> {
            let Ok(number) = usize::try_from(column.column) else {
                return Ok((column.column == -1).then_some(Source::Rowid));
            };
            let Some(described) = columns.get(number) else { return Ok(None) };
            if key.is_none() && !has_key_index && described.in_key && described.is_integer {
                return Ok(Some(Source::Rowid));
            }
            let Some(at) = stored.get(number).copied().flatten() else { return Ok(None) };
            // What a default is may be known to SQLite alone, in its own table, or to an application: "active", uuid7().
            let Ok(default) = default_of(described) else { return Ok(None) };
            Ok(Some(Source::Stored { at, default }))
        };
        let mut paired = Vec::new();
        for (name, partial, _) in &indexes {
            let Some(index) = places.get(name).copied() else { continue };
            let entry = index_columns(connection, name)?;
            let sources = entry.iter().map(source).collect::<Result<Option<Vec<_>>, _>>()?;
            match sources.filter(|_| !partial) {
                Some(columns) => {
                    paired.push(Paired { pair: self.pairs.len(), columns });
                    self.pairs.push(Pair { table, index });
                }
                None => self.left_to_sqlite.push(object.name.clone()),
            }
        }
        self.push_tree(object, key.is_some());
        self.kinds.push(match key {
            Some(key) => {
                let keys: Vec<_> = key.into_iter().filter(|column| column.is_key).collect();
                Kind::Keys { order: order(&keys, None), paired, entries_of: None }
            }
            None => Kind::Rows { paired, content: content(&object.name).filter(|_| self.is_tracker) },
        });
        Ok(())
    }
}

/// The tables and indexes, in the order of the schema.
fn objects(connection: &Connection) -> rusqlite::Result<Vec<Object>> {
    let sql = "SELECT type = 'index', name, tbl_name, coalesce(rootpage, 0) FROM sqlite_schema
        WHERE type IN ('table', 'index') ORDER BY rowid";
    let object = |row: &rusqlite::Row<'_>| {
        Ok(Object { is_index: row.get(0)?, name: row.get(1)?, table: row.get(2)?, root: row.get(3)? })
    };
    connection.prepare(sql)?.query_map([], object)?.collect()
}

fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Column>> {
    let sql =
        "SELECT upper(type) = 'INTEGER', pk > 0, hidden = 2, type, dflt_value FROM pragma_table_xinfo(?1) ORDER BY cid";
    let column = |row: &rusqlite::Row<'_>| {
        Ok(Column {
            is_integer: row.get(0)?,
            in_key: row.get(1)?,
            is_virtual: row.get(2)?,
            declared: row.get(3)?,
            default: row.get(4)?,
        })
    };
    connection.prepare(sql)?.query_map([table], column)?.collect()
}

fn index_columns(connection: &Connection, index: &str) -> rusqlite::Result<Vec<IndexColumn>> {
    let sql = "SELECT cid, coalesce(coll, 'BINARY'), \"desc\", key FROM pragma_index_xinfo(?1) ORDER BY seqno";
    let column = |row: &rusqlite::Row<'_>| {
        Ok(IndexColumn { column: row.get(0)?, collation: row.get(1)?, descending: row.get(2)?, is_key: row.get(3)? })
    };
    connection.prepare(sql)?.query_map([index], column)?.collect()
}

/// How the keys ascend; not known where a collation is an application's own.
fn order(columns: &[IndexColumn], unique: Option<usize>) -> Option<Order> {
    let column = |column: &IndexColumn| {
        Some(KeyColumn { collation: Collation::named(&column.collation)?, descending: column.descending })
    };
    Some(Order { columns: columns.iter().map(column).collect::<Option<_>>()?, unique })
}

/// At which place of a row's record each column stands: a table WITHOUT ROWID has those of its key first.
fn stored_places(columns: &[Column], key: Option<&[IndexColumn]>) -> Vec<Option<usize>> {
    let mut places = vec![None; columns.len()];
    let order: Vec<usize> = match key {
        Some(key) => key.iter().filter_map(|column| usize::try_from(column.column).ok()).collect(),
        None => (0..columns.len()).filter(|column| !columns[*column].is_virtual).collect(),
    };
    for (place, column) in order.into_iter().enumerate() {
        if let Some(at) = places.get_mut(column) {
            *at = Some(place);
        }
    }
    places
}

/// What a row has in a column that was added after it: SQLite says, of a table of this one column.
fn default_of(column: &Column) -> rusqlite::Result<Value> {
    let Some(default) = &column.default else { return Ok(Value::Null) };
    let table = Connection::open_in_memory()?;
    table.set_limit(Limit::SQLITE_LIMIT_LENGTH, DEFAULT_BYTES_MOST)?;
    // Quoted, a type is one word, whatever it says; of more than one statement only the first would be executed.
    let declared = column.declared.replace('"', "\"\"");
    let declared = if declared.is_empty() { declared } else { format!("\"{declared}\"") };
    table.execute(&format!("CREATE TABLE t (c {declared} DEFAULT ({default}))"), [])?;
    table.execute("INSERT INTO t DEFAULT VALUES", [])?;
    table.query_row("SELECT c FROM t", [], |row| row.get(0))
}

/// How the rows of a tracker's table are hashed, where it is one.
fn content(table: &str) -> Option<Content> {
    match meaning("table", table) {
        (Meaning::Rows { part, .. }, Layout::Rows { columns, with_id }) => Some(Content { part, columns, with_id }),
        (Meaning::Rows { .. } | Meaning::Entries { .. } | Meaning::Other, _) => None,
    }
}
