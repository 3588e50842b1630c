//! A coding agent's settings file, changed in place.
//!
//! What is not ours stays as it is, byte for byte: comments, order, indentation, the kind of line ends, a byte order
//! mark. A file is replaced in one step, under its own name and with its own permissions, after a copy.
//!
//! **Invariant:** a file that is not understood is refused and left alone.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstArray, CstInputValue, CstNode, CstObject, CstRootNode};
use serde_json::Value;
use toml_edit::{DocumentMut, Item, Table, value};

/// Largest settings file; Claude Code's grows to some megabytes.
const MAX_BYTES: u64 = 64 * 1024 * 1024;
/// A byte order mark, which some editors write.
const MARK: char = '\u{feff}';

/// Why a file was not changed.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// It cannot be read or written.
    #[error("{path}: {source}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is not what it should be.
    #[error("{path}: {reason}; it was left as it is", path = .path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// The text of a file; nothing if it is missing.
///
/// # Errors
/// It is there and cannot be read as text.
pub fn read(path: &Path) -> Result<Option<String>, SettingsError> {
    let failed = |source| SettingsError::File {
        path: path.to_owned(),
        source,
    };
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
        Ok(about) if about.len() > MAX_BYTES => {
            return Err(failed(io::Error::other("it is larger than 64 MiB")));
        }
        Ok(_) => {}
    }
    fs::read_to_string(path).map(Some).map_err(failed)
}

/// Puts a text in a file's place, after a copy of what stood there. Answers the copy, if there was something to copy.
///
/// # Errors
/// It cannot be written; the file is as it was.
pub fn write(path: &Path, text: &str) -> Result<Option<PathBuf>, SettingsError> {
    let write = || -> io::Result<Option<PathBuf>> {
        // Where a link leads, since many keep their settings in a repository.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let permissions = fs::metadata(&path).ok().map(|about| about.permissions());
        let copy = match &permissions {
            None => None,
            Some(_) => {
                let copy = with_suffix(&path, BACKUP);
                fs::copy(&path, &copy)?;
                Some(copy)
            }
        };
        let part = with_suffix(&path, ".agent-memory.part");
        let written = (|| {
            let mut file = fs::File::create(&part)?;
            if let Some(permissions) = permissions {
                file.set_permissions(permissions)?;
            }
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&part, &path)
        })();
        if written.is_err() {
            // What is half written helps nobody.
            let _gone = fs::remove_file(&part);
        }
        written.map(|()| copy)
    };
    write().map_err(|source| SettingsError::File {
        path: path.to_owned(),
        source,
    })
}

/// What the copy of a file is called.
pub const BACKUP: &str = ".agent-memory.bak";

/// A path with something after its name.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A JSON file, perhaps with comments.
#[derive(Debug)]
pub struct Json {
    path: PathBuf,
    marked: bool,
    root: CstRootNode,
}

impl Json {
    /// Reads a text; an empty one is an empty object.
    ///
    /// # Errors
    /// It is not JSON, or no object.
    pub fn parse(path: &Path, text: &str) -> Result<Self, SettingsError> {
        let marked = text.starts_with(MARK);
        let text = text.trim_start_matches(MARK);
        let root = CstRootNode::parse(text, &ParseOptions::default()).map_err(|error| {
            SettingsError::Shape {
                path: path.to_owned(),
                reason: format!("it is not JSON: {error}"),
            }
        })?;
        let json = Self {
            path: path.to_owned(),
            marked,
            root,
        };
        if json.root.value().is_some() && json.root.object_value().is_none() {
            return Err(json.wrong("it is not a JSON object"));
        }
        Ok(json)
    }

    /// The text as it is now.
    pub fn text(&self) -> String {
        let text = self.root.to_string();
        if self.marked {
            format!("{MARK}{text}")
        } else {
            text
        }
    }

    fn wrong(&self, reason: &str) -> SettingsError {
        SettingsError::Shape {
            path: self.path.clone(),
            reason: reason.to_owned(),
        }
    }

    /// A member of the file's object that is an object, made if need be.
    fn object(&self, name: &str) -> Result<CstObject, SettingsError> {
        self.root
            .object_value_or_set()
            .object_value_or_create(name)
            .ok_or_else(|| self.wrong(&format!("`{name}` is not an object")))
    }

    fn find(&self, name: &str) -> Option<CstObject> {
        self.root.object_value()?.object_value(name)
    }

    /// A member of the file's object.
    pub fn get(&self, name: &str) -> Option<Value> {
        self.root.object_value()?.get(name)?.to_serde_value()
    }

    /// Sets a member of the file's object, unless it is there.
    pub fn set_default(&self, name: &str, value: &Value) {
        let root = self.root.object_value_or_set();
        if root.get(name).is_none() {
            root.append(name, input(value));
        }
    }

    /// An entry of a member.
    pub fn entry(&self, section: &str, name: &str) -> Option<Value> {
        self.find(section)?.get(name)?.value()?.to_serde_value()
    }

    /// Sets an entry of a member.
    ///
    /// # Errors
    /// The member is no object.
    pub fn set_entry(&self, section: &str, name: &str, value: &Value) -> Result<(), SettingsError> {
        let section = self.object(section)?;
        match section.get(name) {
            Some(entry) => entry.set_value(input(value)),
            None => drop(section.append(name, input(value))),
        }
        Ok(())
    }

    /// Takes an entry out, and the member if nothing else is in it.
    pub fn remove_entry(&self, section: &str, name: &str) {
        let Some(object) = self.find(section) else {
            return;
        };
        if let Some(entry) = object.get(name) {
            entry.remove();
        }
        self.remove_if_empty(section);
    }

    fn remove_if_empty(&self, section: &str) {
        let root = self.root.object_value();
        if self
            .find(section)
            .is_some_and(|object| object.children_exclude_trivia_and_tokens().is_empty())
            && let Some(entry) = root.and_then(|root| root.get(section))
        {
            entry.remove();
        }
    }

    /// The items of a list in `hooks`.
    pub fn hooks(&self, event: &str) -> Vec<Value> {
        let list = self
            .find("hooks")
            .and_then(|hooks| hooks.array_value(event));
        let items = list.map(|list| list.elements()).unwrap_or_default();
        items.iter().filter_map(CstNode::to_serde_value).collect()
    }

    /// Appends to a list in `hooks`.
    ///
    /// # Errors
    /// `hooks` is no object, or holds something else there.
    pub fn add_hook(&self, event: &str, item: &Value) -> Result<(), SettingsError> {
        let hooks = self.object("hooks")?;
        let list = hooks
            .array_value_or_create(event)
            .ok_or_else(|| self.wrong(&format!("`hooks.{event}` is not a list")))?;
        list.ensure_multiline();
        list.append(input(item));
        Ok(())
    }

    /// Takes the commands that are ours out of a list in `hooks`, with what holds nothing else.
    pub fn remove_hooks(&self, event: &str, is_ours: impl Fn(&str) -> bool) {
        let Some(hooks) = self.find("hooks") else {
            return;
        };
        let Some(list) = hooks.array_value(event) else {
            return;
        };
        for item in list.elements() {
            let Some(object) = item.as_object() else {
                continue;
            };
            if command_of(&object).is_some_and(|command| is_ours(&command)) {
                item.remove();
            } else if let Some(inner) = object.array_value("hooks") {
                remove_commands(&inner, &is_ours);
                if inner.elements().is_empty() {
                    item.remove();
                }
            }
        }
        if list.elements().is_empty()
            && let Some(entry) = hooks.get(event)
        {
            entry.remove();
        }
        self.remove_if_empty("hooks");
    }
}

fn remove_commands(list: &CstArray, is_ours: impl Fn(&str) -> bool) {
    for item in list.elements() {
        let command = item.as_object().and_then(|object| command_of(&object));
        if command.is_some_and(|command| is_ours(&command)) {
            item.remove();
        }
    }
}

fn command_of(object: &CstObject) -> Option<String> {
    let value = object.get("command")?.value()?.to_serde_value()?;
    value.as_str().map(str::to_owned)
}

fn input(value: &Value) -> CstInputValue {
    match value {
        Value::Null => CstInputValue::Null,
        Value::Bool(value) => CstInputValue::Bool(*value),
        Value::Number(number) => CstInputValue::Number(number.to_string()),
        Value::String(text) => CstInputValue::String(text.clone()),
        Value::Array(items) => CstInputValue::Array(items.iter().map(input).collect()),
        Value::Object(map) => CstInputValue::Object(
            map.iter()
                .map(|(key, value)| (key.clone(), input(value)))
                .collect(),
        ),
    }
}

/// A TOML file.
#[derive(Debug)]
pub struct Toml {
    path: PathBuf,
    crlf: bool,
    document: DocumentMut,
}

impl Toml {
    /// Reads a text.
    ///
    /// # Errors
    /// It is not TOML.
    pub fn parse(path: &Path, text: &str) -> Result<Self, SettingsError> {
        let shape = |error: toml_edit::TomlError| SettingsError::Shape {
            path: path.to_owned(),
            reason: format!("it is not TOML: {}", error.message()),
        };
        Ok(Self {
            path: path.to_owned(),
            crlf: text.contains("\r\n"),
            document: text.parse().map_err(shape)?,
        })
    }

    /// The text as it is now.
    pub fn text(&self) -> String {
        let text = self.document.to_string();
        if self.crlf {
            // What is new came with plain ends.
            return text.replace("\r\n", "\n").replace('\n', "\r\n");
        }
        text
    }

    /// A server's command and arguments.
    pub fn server(&self, name: &str) -> Option<(String, Vec<String>)> {
        let server = self.document.get("mcp_servers")?.get(name)?;
        let args = server.get("args").and_then(Item::as_array);
        let args = args.map(|args| {
            args.iter()
                .filter_map(|arg| arg.as_str().map(str::to_owned))
        });
        let command = server.get("command")?.as_str()?.to_owned();
        Some((command, args.map(Iterator::collect).unwrap_or_default()))
    }

    /// Sets a server's command and arguments, and leaves what else is said of it.
    ///
    /// # Errors
    /// `mcp_servers`, or the server in it, is no table.
    pub fn set_server(
        &mut self,
        name: &str,
        command: &str,
        args: &[String],
    ) -> Result<(), SettingsError> {
        let wrong = |path: &Path| SettingsError::Shape {
            path: path.to_owned(),
            reason: "`mcp_servers` is not a table of tables".to_owned(),
        };
        let servers = self.document.entry("mcp_servers").or_insert_with(|| {
            let mut table = Table::new();
            // No header of its own: `[mcp_servers.name]` says it all.
            table.set_implicit(true);
            Item::Table(table)
        });
        let servers = servers
            .as_table_like_mut()
            .ok_or_else(|| wrong(&self.path))?;
        let server = servers
            .entry(name)
            .or_insert_with(|| Item::Table(Table::new()))
            .as_table_like_mut()
            .ok_or_else(|| wrong(&self.path))?;
        server.insert("command", value(command));
        let args: toml_edit::Array = args.iter().map(String::as_str).collect();
        server.insert("args", value(args));
        Ok(())
    }

    /// Takes a server out.
    pub fn remove_server(&mut self, name: &str) {
        let Some(servers) = self
            .document
            .get_mut("mcp_servers")
            .and_then(Item::as_table_like_mut)
        else {
            return;
        };
        servers.remove(name);
        if servers.is_empty() {
            self.document.remove("mcp_servers");
        }
    }
}
