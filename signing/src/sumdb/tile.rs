//! Tiles, and what they prove (research.swtch.com/tlog, "Tiling a log").
//!
//! The hash of level `l` and number `n` is over the records `n·2^l` to `(n+1)·2^l`. A tile of level
//! `L` has 256 neighbours of level `8·L`; the hash over a whole tile is one entry of the tile above
//! it. The last tile of a level is as wide as there are hashes: such tiles are the *right edge*.
//! A tree is made of complete subtrees, one for each bit of its size, and each of them is in a tile
//! of the right edge, all of whose entries are in them: so the root vouches for the edge, and the
//! edge, from above, for every other tile.

use std::collections::{BTreeMap, BTreeSet};

use super::{Hash, SumDbError, TreeHead};

/// Levels of a tile that databases serve: 2^8 hashes.
pub(super) const HEIGHT: u8 = 8;

/// A tile of hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    pub(super) height: u8,
    pub(super) level: u8,
    pub(super) index: u64,
    pub(super) width: u32,
}

/// Tiles that were fetched: the bytes of each, [`Tile::bytes`] long.
pub type Tiles = BTreeMap<Tile, Vec<u8>>;

impl Tile {
    /// The file below the database's address, without a slash in front: `tile/8/0/x001/234`, and
    /// `tile/8/0/x001/234.p/5` where only its first 5 hashes are there.
    pub fn path(&self) -> String {
        let mut number = format!("{:03}", self.index % 1000);
        let mut rest = self.index / 1000;
        while rest > 0 {
            number = format!("x{:03}/{number}", rest % 1000);
            rest /= 1000;
        }
        let part = if self.is_whole() { String::new() } else { format!(".p/{}", self.width) };
        format!("tile/{}/{}/{number}{part}", self.height, self.level)
    }

    /// Its length in bytes, 32 for each hash.
    pub fn bytes(&self) -> usize {
        self.width as usize * 32
    }

    /// Whether no wider one will come.
    pub fn is_whole(&self) -> bool {
        self.width == 1 << self.height
    }

    /// The same tile with all hashes. Where it exists, its first [`bytes`](Self::bytes) are this
    /// tile: databases and their mirrors may drop what is no longer the edge.
    #[must_use]
    pub fn whole(&self) -> Self {
        Self { width: 1 << self.height, ..*self }
    }

    /// The tile of a tree that has this hash, and where in it the hash begins.
    fn of_hash(height: u8, (level, number): Node, size: u64) -> (Self, usize) {
        let begin = number << (level % height);
        let tile = Self::at(height, level / height, begin >> height, size);
        (tile, (begin & (tile_width(height) - 1)) as usize)
    }

    /// The tile at a place, as wide as it is in a tree.
    fn at(height: u8, level: u8, index: u64, size: u64) -> Self {
        let there = (size >> (level * height)).saturating_sub(index << height);
        let width = there.min(tile_width(height)) as u32;
        Self { height, level, index, width }
    }

    /// The tile above, and which of its entries is over this one.
    fn above(&self, size: u64) -> (Self, usize) {
        let above = Self::at(self.height, self.level + 1, self.index >> self.height, size);
        (above, (self.index & (tile_width(self.height) - 1)) as usize)
    }
}

fn tile_width(height: u8) -> u64 {
    1 << height
}

/// Level and number of a hash.
type Node = (u8, u64);

/// The complete subtrees of a tree, from the left: largest first.
fn subtrees(size: u64) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut before = 0;
    for level in (0..64).rev() {
        if size >> level & 1 == 1 {
            nodes.push((level, before >> level));
            before += 1 << level;
        }
    }
    nodes
}

/// The root over subtrees, from the left.
fn root(subtrees: &[Hash]) -> Hash {
    let mut hashes = subtrees.iter().rev();
    let Some(last) = hashes.next() else { return Hash::of_nothing() };
    hashes.fold(*last, |right, left| Hash::of_node(left, &right))
}

/// The tiles of the tree of `size` that prove records and older trees in it.
pub(super) fn needed(height: u8, size: u64, records: &[u64], older: &[u64]) -> BTreeSet<Tile> {
    let mut tiles = BTreeSet::new();
    let nodes = subtrees(size).into_iter().chain(records.iter().map(|record| (0, *record)));
    for node in nodes.chain(older.iter().flat_map(|older| subtrees(*older))) {
        let mut tile = Tile::of_hash(height, node, size).0;
        while tiles.insert(tile) && tile.is_whole() {
            tile = tile.above(size).0;
        }
    }
    tiles
}

/// A tree whose right edge was found to make its signed root.
pub(super) struct Tree<'a> {
    height: u8,
    size: u64,
    tiles: &'a Tiles,
    /// Hashes of the tiles that are known to be the tree's.
    known: BTreeMap<Tile, Vec<Hash>>,
}

impl<'a> Tree<'a> {
    /// Checks the right edge.
    pub(super) fn new(height: u8, head: &TreeHead, tiles: &'a Tiles) -> Result<Self, SumDbError> {
        let mut tree = Self { height, size: head.size, tiles, known: BTreeMap::new() };
        let mut hashes = Vec::new();
        for node in subtrees(head.size) {
            let (tile, begin) = Tile::of_hash(height, node, head.size);
            let entries = tree.read(&tile)?;
            hashes.push(over(&tile, &entries, begin, node.0 % height)?);
            tree.known.insert(tile, entries);
        }
        let (found, signed) = (root(&hashes), head.root);
        match found == signed {
            true => Ok(tree),
            false => Err(SumDbError::WrongRoot { size: head.size, found, signed }),
        }
    }

    /// The hash of a record.
    pub(super) fn record(&mut self, number: u64) -> Result<Hash, SumDbError> {
        self.hash((0, number))
    }

    /// The root of an older tree, which is the beginning of this one.
    pub(super) fn older(&mut self, size: u64) -> Result<Hash, SumDbError> {
        let hashes: Result<Vec<_>, _> =
            subtrees(size).into_iter().map(|node| self.hash(node)).collect();
        Ok(root(&hashes?))
    }

    fn hash(&mut self, node: Node) -> Result<Hash, SumDbError> {
        let (tile, begin) = Tile::of_hash(self.height, node, self.size);
        self.know(tile)?;
        let entries = self.known.get(&tile).map(Vec::as_slice).unwrap_or_default();
        over(&tile, entries, begin, node.0 % self.height)
    }

    /// Makes a tile known: finds the tiles above it that are not yet, and checks them from there.
    fn know(&mut self, wanted: Tile) -> Result<(), SumDbError> {
        let mut unknown = Vec::new();
        let mut tile = wanted;
        while !self.known.contains_key(&tile) {
            if !tile.is_whole() {
                // A part of the right edge, all of which is known: nothing is there.
                return Err(SumDbError::MissingTile { path: tile.path() });
            }
            unknown.push(tile);
            tile = tile.above(self.size).0;
        }
        while let Some(tile) = unknown.pop() {
            let (above, entry) = tile.above(self.size);
            let expected = self.known.get(&above).and_then(|entries| entries.get(entry)).copied();
            let expected =
                expected.ok_or_else(|| SumDbError::MissingTile { path: above.path() })?;
            let entries = self.read(&tile)?;
            let found = over(&tile, &entries, 0, self.height)?;
            if found != expected {
                return Err(SumDbError::WrongTile { path: tile.path(), found, expected });
            }
            self.known.insert(tile, entries);
        }
        Ok(())
    }

    fn read(&self, tile: &Tile) -> Result<Vec<Hash>, SumDbError> {
        let path = || tile.path();
        let bytes = self.tiles.get(tile).ok_or_else(|| SumDbError::MissingTile { path: path() })?;
        let (entries, rest) = bytes.as_chunks::<32>();
        if bytes.len() != tile.bytes() || !rest.is_empty() {
            let (found, expected) = (bytes.len(), tile.bytes());
            return Err(SumDbError::TileLength { path: path(), found, expected });
        }
        Ok(entries.iter().map(|entry| Hash(*entry)).collect())
    }
}

/// The hash over `2^levels` entries of a tile.
fn over(tile: &Tile, entries: &[Hash], begin: usize, levels: u8) -> Result<Hash, SumDbError> {
    let range = entries.get(begin..begin + (1 << levels));
    range.and_then(Hash::over).ok_or_else(|| SumDbError::MissingTile { path: tile.path() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_go() {
        let tile = |height, level, index, width| Tile { height, level, index, width }.path();
        for (found, expected) in [
            (tile(4, 0, 1, 16), "tile/4/0/001"),
            (tile(4, 0, 1, 5), "tile/4/0/001.p/5"),
            (tile(3, 5, 123_456_078, 8), "tile/3/5/x123/x456/078"),
            (tile(3, 5, 123_456_078, 2), "tile/3/5/x123/x456/078.p/2"),
            (tile(8, 0, 3_057_500, 256), "tile/8/0/x003/x057/500"),
            (tile(8, 1, 0, 1), "tile/8/1/000.p/1"),
        ] {
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_tree_of_today_needs_few_tiles() {
        let tiles = needed(HEIGHT, 63_096_908, &[60_295_460], &[59_045_944]);
        let paths: Vec<String> = tiles.iter().map(Tile::path).collect();
        let expected = [
            "tile/8/0/x230/648",
            "tile/8/0/x235/529",
            "tile/8/0/x246/472.p/76",
            "tile/8/1/900",
            "tile/8/1/920",
            "tile/8/1/962.p/200",
            "tile/8/2/003.p/194",
            "tile/8/3/000.p/3",
        ];
        assert_eq!(paths, expected);
    }
}
