// Makes a module proxy of many small modules, what needs them, and a checksum database that has them.
//
// Its arguments: the folder to make, and how many modules. Below it are `proxy`, with the database as
// proxies have it, `source` with go.mod and go.sum, and `key` with what GOSUMDB says. All bytes are the
// same every time.
package main

import (
	"archive/zip"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

const database = "sum.example"

var base = base64.StdEncoding

func write(path string, content []byte) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		panic(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		panic(err)
	}
}

// h1 is what go.sum has of files (dirhash.Hash1).
func h1(files map[string]string) string {
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	sort.Strings(names)
	lines := sha256.New()
	for _, name := range names {
		fmt.Fprintf(lines, "%x  %s\n", sha256.Sum256([]byte(files[name])), name)
	}
	return "h1:" + base.EncodeToString(lines.Sum(nil))
}

// module adds a module to the proxy; its lines of a go.sum.
func module(proxy, path string, number int) string {
	const version = "v1.0.0"
	mod := fmt.Sprintf("module %s\n\ngo 1.24\n", path)
	files := map[string]string{"go.mod": mod, "LICENSE": "Anybody may do anything with it.\n"}
	for part := range 6 {
		var text strings.Builder
		fmt.Fprintf(&text, "// Package p counts.\npackage p\n\n")
		for line := range 40 {
			seed := sha256.Sum256(fmt.Appendf(nil, "%d %d %d", number, part, line))
			fmt.Fprintf(&text, "// Number%d_%d is one of many.\nconst Number%d_%d = 0x%x\n", part, line, part, line, seed[:7])
		}
		files[fmt.Sprintf("p%d.go", part)] = text.String()
	}
	var archive bytes.Buffer
	writer, placed := zip.NewWriter(&archive), map[string]string{}
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		at := path + "@" + version + "/" + name
		placed[at] = files[name]
		file, err := writer.Create(at)
		if err == nil {
			_, err = file.Write([]byte(files[name]))
		}
		if err != nil {
			panic(err)
		}
	}
	if err := writer.Close(); err != nil {
		panic(err)
	}
	at := filepath.Join(proxy, path, "@v", version)
	write(at+".info", []byte(`{"Version":"`+version+`","Time":"2024-01-01T00:00:00Z"}`))
	write(at+".mod", []byte(mod))
	write(at+".zip", archive.Bytes())
	sum := fmt.Sprintf("%s %s %s\n", path, version, h1(placed))
	return sum + fmt.Sprintf("%s %s/go.mod %s\n", path, version, h1(map[string]string{"go.mod": mod}))
}

type hash = [32]byte

func node(left, right hash) hash {
	return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
}

// root is the root hash of a Merkle tree (RFC 6962, section 2.1).
func root(hashes []hash) hash {
	if len(hashes) == 1 {
		return hashes[0]
	}
	left := 1
	for left*2 < len(hashes) {
		left *= 2
	}
	return node(root(hashes[:left]), root(hashes[left:]))
}

// tiles writes the tiles of height 8 of a level, and of those above it.
func tiles(folder string, level int, hashes []hash) {
	var above []hash
	for at := 0; at*256 < len(hashes); at++ {
		part := hashes[at*256 : min(len(hashes), at*256+256)]
		name := filepath.Join(folder, "8", strconv.Itoa(level), fmt.Sprintf("%03d", at))
		if len(part) < 256 {
			name += fmt.Sprintf(".p/%d", len(part))
		} else {
			above = append(above, root(part))
		}
		var content []byte
		for _, hash := range part {
			content = append(content, hash[:]...)
		}
		write(name, content)
	}
	if len(above) > 0 {
		tiles(folder, level+1, above)
	}
}

// sumdb makes the database of these records, with its signed head; what GOSUMDB says of its key.
func sumdb(folder string, modules, records []string) string {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	public := append([]byte{1}, key.Public().(ed25519.PublicKey)...)
	id := sha256.Sum256(append([]byte(database+"\n"), public...))
	leaves := make([]hash, len(records))
	for at, record := range records {
		leaves[at] = sha256.Sum256(append([]byte{0}, record...))
	}
	top := root(leaves)
	text := fmt.Sprintf("go.sum database tree\n%d\n%s\n", len(records), base.EncodeToString(top[:]))
	signature := base.EncodeToString(append(id[:4:4], ed25519.Sign(key, []byte(text))...))
	head := fmt.Sprintf("%s\n— %s %s\n", text, database, signature)
	write(filepath.Join(folder, "supported"), nil)
	write(filepath.Join(folder, "latest"), []byte(head))
	for at, record := range records {
		write(filepath.Join(folder, "lookup", modules[at]), fmt.Appendf(nil, "%d\n%s\n%s", at, record, head))
	}
	tiles(filepath.Join(folder, "tile"), 0, leaves)
	return fmt.Sprintf("%s+%08x+%s", database, binary.BigEndian.Uint32(id[:4]), base.EncodeToString(public))
}

func main() {
	folder := os.Args[1]
	count, err := strconv.Atoi(os.Args[2])
	if err != nil {
		panic(err)
	}
	proxy := filepath.Join(folder, "proxy")
	var mod, sum strings.Builder
	var modules, records []string
	mod.WriteString("module bench.example/all\n\ngo 1.24\n\nrequire (\n")
	for number := range count {
		path := fmt.Sprintf("bench.example/m%04d", number)
		record := module(proxy, path, number)
		fmt.Fprintf(&mod, "\t%s v1.0.0\n", path)
		sum.WriteString(record)
		modules, records = append(modules, path+"@v1.0.0"), append(records, record)
	}
	mod.WriteString(")\n")
	write(filepath.Join(folder, "source/go.mod"), []byte(mod.String()))
	write(filepath.Join(folder, "source/go.sum"), []byte(sum.String()))
	write(filepath.Join(folder, "key"), []byte(sumdb(filepath.Join(proxy, "sumdb", database), modules, records)))
}
