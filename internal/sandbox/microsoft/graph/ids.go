package graph

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
)

// Ids have the shape of Exchange's: an entry id (MS-OXCDATA 2.2.4) in a small
// envelope, in URL-safe base64. A regular id names mailbox, folder and item
// (152 characters, AAMk...), a folder's id mailbox and folder (120), an
// immutable id the item alone (68, AAkA...). Attachments append their key to
// the message's id. Every 16-byte replica id ends in a check over its first
// twelve, which is what tells a malformed id from one that is merely gone.

const (
	entryFolder    = 0x0001 // eitLTPrivateFolder
	entryMessage   = 0x0007 // eitLTPrivateMessage
	entryImmutable = 0x000d
)

// immutableProvider is the provider UID of every immutable id.
var immutableProvider = [16]byte{0x1d, 0x84, 0x03, 0x11, 0xaa, 0x66, 0x11, 0xcd, 0x9b, 0xc8, 0x00, 0xaa, 0x00, 0x2f, 0xc4, 0x5a}

type idKind int

const (
	folderID idKind = iota + 1
	regularID
	immutableID
)

// A ref is what an id says, before anybody looked into a store.
type ref struct {
	kind   idKind
	guid   string // the mailbox; empty in an immutable id
	folder uint64
	item   uint64 // for immutableID the number that stays
	attach string // 16 bytes, for an attachment's id
}

// idSpace makes the ids of one mailbox.
type idSpace struct {
	guid     string
	provider [16]byte
	replica  [16]byte
}

func newIDSpace(userID string) idSpace {
	sum := sha256.Sum256([]byte("mailbox " + userID))
	s := idSpace{guid: formatGUID(sum[:16])}
	copy(s.provider[:], checked(sum[16:28]))
	sum = sha256.Sum256([]byte("replica " + userID))
	copy(s.replica[:], checked(sum[:12]))
	return s
}

// checked appends to twelve bytes the check that makes them a replica id.
func checked(b []byte) []byte {
	return binary.LittleEndian.AppendUint32(bytes.Clone(b[:12]), crc32.ChecksumIEEE(b[:12]))
}

func isChecked(b []byte) bool {
	return binary.LittleEndian.Uint32(b[12:16]) == crc32.ChecksumIEEE(b[:12])
}

func formatGUID(b []byte) string {
	h := hex.EncodeToString(b)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:32]
}

// global is a GLOBCNT with its replica: 16 bytes, six of counter, two of padding.
func (s idSpace) global(b []byte, counter uint64) []byte {
	b = append(b, s.replica[:]...)
	var c [8]byte
	binary.BigEndian.PutUint64(c[:], counter)
	b = append(b, c[2:]...)
	return append(b, 0, 0)
}

func (s idSpace) folderEntry(counter uint64) []byte {
	b := make([]byte, 4, 46)
	b = append(b, s.provider[:]...)
	b = binary.LittleEndian.AppendUint16(b, entryFolder)
	return s.global(b, counter)
}

func (s idSpace) regularEntry(folder, item uint64) []byte {
	b := make([]byte, 4, 70)
	b = append(b, s.provider[:]...)
	b = binary.LittleEndian.AppendUint16(b, entryMessage)
	return s.global(s.global(b, folder), item)
}

func (s idSpace) immutableEntry(item uint64) []byte {
	b := make([]byte, 4, 46)
	b = append(b, immutableProvider[:]...)
	b = binary.LittleEndian.AppendUint16(b, entryImmutable)
	return s.global(b, item)
}

// wrap puts an entry id of this mailbox into the envelope of a REST id.
func (s idSpace) wrap(entry []byte) []byte {
	b := []byte{0, 3, 36, 0}
	b = append(b, s.guid...)
	b = append(b, 0)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(entry)))
	return append(b, entry...)
}

func wrapImmutable(entry []byte) []byte {
	b := []byte{0, 9, 0}
	b = binary.LittleEndian.AppendUint16(b, uint16(len(entry)))
	return append(b, entry...)
}

func (s idSpace) folder(counter uint64) string {
	return base64.URLEncoding.EncodeToString(s.wrap(s.folderEntry(counter)))
}

func (s idSpace) regular(folder, item uint64) string {
	return base64.URLEncoding.EncodeToString(s.wrap(s.regularEntry(folder, item)))
}

func (s idSpace) immutable(item uint64) string {
	return base64.URLEncoding.EncodeToString(wrapImmutable(s.immutableEntry(item)))
}

// attachment is the id of an attachment of the message whose envelope is given.
func attachmentID(message []byte, key string) string {
	b := append(bytes.Clone(message), 1, 0x12, 0, 0x10, 0)
	return base64.URLEncoding.EncodeToString(append(b, key...))
}

// conversation is the id of a conversation: AAQk and 16 bytes.
func (s idSpace) conversation(key [16]byte) string {
	b := []byte{0, 4, 36, 0}
	b = append(b, s.guid...)
	b = append(b, 0, 16, 0)
	return base64.URLEncoding.EncodeToString(append(b, key[:]...))
}

// changeKey is the change key of a change number; the etag quotes it.
func (s idSpace) changeKey(change uint64) string {
	b := []byte{9, 0, 0, 0, 0x16, 0, 0, 0}
	b = append(b, s.replica[:]...)
	var c [8]byte
	binary.BigEndian.PutUint64(c[:], change)
	return base64.StdEncoding.EncodeToString(append(b, c[2:]...))
}

func (s idSpace) etag(change uint64) string { return `W/"` + s.changeKey(change) + `"` }

// parseID reads an id of any kind; false means that it is malformed.
func parseID(id string) (ref, bool) {
	b, err := base64.URLEncoding.Strict().DecodeString(id)
	if err != nil || len(b) < 5 || b[0] != 0 {
		return ref{}, false
	}
	var r ref
	switch b[1] {
	case 3:
		if len(b) < 43 || b[2] != 36 || b[3] != 0 || b[40] != 0 {
			return ref{}, false
		}
		r.guid = string(b[4:40])
		n := int(binary.LittleEndian.Uint16(b[41:]))
		b = b[43:]
		if len(b) < n || !r.entry(b[:n]) {
			return ref{}, false
		}
		b = b[n:]
	case 9:
		n := int(binary.LittleEndian.Uint16(b[3:]))
		if b[2] != 0 || len(b) < 5+n || !r.entry(b[5:5+n]) || r.kind != immutableID {
			return ref{}, false
		}
		b = b[5+n:]
	default:
		return ref{}, false
	}
	if len(b) == 0 {
		return r, true
	}
	if r.kind == folderID || len(b) != 21 || !bytes.Equal(b[:5], []byte{1, 0x12, 0, 0x10, 0}) {
		return ref{}, false
	}
	r.attach = string(b[5:])
	return r, true
}

// entry reads an entry id into r.
func (r *ref) entry(b []byte) bool {
	if len(b) < 46 || !bytes.Equal(b[:4], []byte{0, 0, 0, 0}) {
		return false
	}
	provider, kind := b[4:20], binary.LittleEndian.Uint16(b[20:])
	first, ok := global(b[22:46])
	if !ok {
		return false
	}
	switch {
	case kind == entryFolder && len(b) == 46 && isChecked(provider):
		r.kind, r.folder = folderID, first
		return true
	case kind == entryImmutable && len(b) == 46 && bytes.Equal(provider, immutableProvider[:]):
		r.kind, r.item = immutableID, first
		return true
	case kind == entryMessage && len(b) == 70 && isChecked(provider):
		item, ok := global(b[46:70])
		r.kind, r.folder, r.item = regularID, first, item
		return ok && bytes.Equal(b[22:38], b[46:62])
	}
	return false
}

func global(b []byte) (uint64, bool) {
	if !isChecked(b[:16]) || b[22] != 0 || b[23] != 0 {
		return 0, false
	}
	var c [8]byte
	copy(c[2:], b[16:22])
	return binary.BigEndian.Uint64(c[:]), true
}
