package session

import (
	"bytes"
	"fmt"
	"io"
	"strconv"

	"github.com/postern-mail/postern/internal/mime"
	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// inBuffer is up to which length a piece is copied behind what was written
// before it; a longer one is handed to the writer as it is.
const inBuffer = 4 << 10

// piece is what one section item gives of a message.
type piece struct {
	null bool // the message has no such section
	size int64
	// data is the piece itself, or stream opens it to be read.
	data   []byte
	stream func() io.Reader
	eight  bool // it must go as literal8
}

// find finds the pieces of all section items, before anything is written. They
// are valid until the next message's.
func (f *fetcher) find(r *record, b *body) ([]piece, error) {
	f.pieces, f.picked = f.pieces[:0], f.picked[:0]
	for i := range f.items {
		it := &f.items[i]
		if it.kind < itemSection {
			continue
		}
		var p piece
		var err error
		if it.kind == itemSection {
			p, err = f.section(it, r, b)
		} else {
			p, err = binarySection(it, r, b)
		}
		if err != nil {
			return nil, err
		}
		f.pieces = append(f.pieces, p)
	}
	return f.pieces, nil
}

// write writes a piece as nstring or, where the RFC has it so, literal8.
func (f *fetcher) write(it *fetchItem, p *piece) error {
	switch {
	case it.kind == itemBinarySize:
		// A number always (RFC 9051, 9, "msg-att-static"): 0 of what is not there.
		f.buf = strconv.AppendInt(f.buf, p.size, 10)
		return nil
	case p.null:
		f.buf = append(f.buf, "NIL"...)
		return nil
	}
	if p.eight {
		f.buf = append(f.buf, '~')
	}
	if p.stream != nil {
		f.w.Bytes(f.buf)
		f.buf = f.buf[:0]
		return f.w.Literal(p.size, p.stream())
	}
	f.buf = append(f.buf, '{')
	f.buf = strconv.AppendInt(f.buf, p.size, 10)
	f.buf = append(f.buf, "}\r\n"...)
	if p.size <= inBuffer {
		f.buf = append(f.buf, p.data...)
		return nil
	}
	f.w.Bytes(f.buf).Bytes(p.data)
	f.buf = f.buf[:0]
	return f.w.Err()
}

// section finds what BODY[...] names (RFC 9051, 6.4.5.1): always bytes of the
// message as they are.
func (f *fetcher) section(it *fetchItem, r *record, b *body) (piece, error) {
	if it.part == "" {
		switch it.text {
		case textAll:
			return b.piece(it, mime.Range{Length: b.size})
		case textHeader, textFields, textFieldsNot:
			if whole := !r.here || r.rows.Header <= int64(len(r.header)); whole && r.header != nil {
				data := r.header
				if it.text != textHeader {
					data = f.pick(it, data)
				}
				return it.inMemory(data), nil
			}
		}
	}
	if b == nil || !r.here || r.rows.Size != b.size {
		return piece{}, mail.Errorf(mail.KindInternal, "fetch section", "what is stored of the message does not fit its bytes")
	}
	at, ok := r.rows.Find(it.part, specifiers[it.text])
	if !ok {
		return piece{null: true}, nil
	}
	if it.text != textFields && it.text != textFieldsNot {
		return b.piece(it, at)
	}
	if at.Length > smallBody {
		return it.longFields(func() io.Reader { return io.NewSectionReader(b, at.Offset, at.Length) })
	}
	block := make([]byte, at.Length)
	if _, err := io.ReadFull(io.NewSectionReader(b, at.Offset, at.Length), block); err != nil {
		return piece{}, fmt.Errorf("read header: %w", err)
	}
	return it.inMemory(f.pick(it, block)), nil
}

var specifiers = map[sectionText]string{textAll: "", textHeader: "HEADER", textFields: "HEADER", textFieldsNot: "HEADER", textBody: "TEXT", textMIME: "MIME"}

// pick gives the fields that an item names of a header block.
func (f *fetcher) pick(it *fetchItem, block []byte) []byte {
	from := len(f.picked)
	f.picked = pickFields(f.picked, block, it.fields, it.text == textFieldsNot)
	return f.picked[from:]
}

// inMemory is the piece that an item asks for of data.
func (it *fetchItem) inMemory(data []byte) piece {
	from, n := it.cut(int64(len(data)))
	return piece{size: n, data: data[from : from+n]}
}

// piece is what an item asks for of a range of the bytes.
func (b *body) piece(it *fetchItem, at mime.Range) (piece, error) {
	if at.Offset < 0 || at.Length < 0 || at.End() > b.size {
		return piece{}, mail.Errorf(mail.KindInternal, "fetch section", "what is stored of the message does not fit its bytes")
	}
	from, n := it.cut(at.Length)
	from += at.Offset
	if b.data != nil {
		return piece{size: n, data: b.data[from : from+n]}, nil
	}
	return piece{size: n, stream: func() io.Reader { return io.NewSectionReader(b, from, n) }}, nil
}

// longFields is HEADER.FIELDS of a header that is not read into memory: it is
// read twice, once to learn how long the answer is.
func (it *fetchItem) longFields(open func() io.Reader) (piece, error) {
	fields := func() io.Reader { return newFieldReader(open(), it.fields, it.text == textFieldsNot) }
	size, err := io.Copy(io.Discard, fields())
	if err != nil {
		return piece{}, fmt.Errorf("read header: %w", err)
	}
	from, n := it.cut(size)
	return piece{size: n, stream: func() io.Reader { return &skipping{r: fields(), skip: from} }}, nil
}

// skipping is a reader without its first bytes.
type skipping struct {
	r    io.Reader
	skip int64
}

func (s *skipping) Read(p []byte) (int, error) {
	if s.skip > 0 {
		n, err := io.CopyN(io.Discard, s.r, s.skip)
		s.skip -= n
		if err != nil {
			return 0, err
		}
	}
	return s.r.Read(p)
}

// binarySection finds what BINARY[...] names: a part with its transfer encoding
// undone (RFC 9051, 6.4.5; RFC 3516). What has parts of its own, and the
// message as a whole, has no encoding to undo (RFC 2045, 6.4).
func binarySection(it *fetchItem, r *record, b *body) (piece, error) {
	at, encoding := mime.Range{Length: b.size}, ""
	if it.part != "" {
		s, ok := r.rows.Section(it.part)
		if !ok {
			return piece{null: true}, nil
		}
		at = s.Body
		if !s.Message && !s.Multipart() {
			encoding = s.Encoding
		}
	}
	if at.End() > b.size {
		return piece{}, mail.Errorf(mail.KindInternal, "fetch section", "what is stored of the message does not fit its bytes")
	}
	open := func() (io.Reader, bool) {
		return mime.Decoder(encoding, io.NewSectionReader(b, at.Offset, at.Length))
	}
	decoded, known := open()
	if !known {
		return piece{}, errUnknownEncoding
	}
	if b.data != nil {
		data, err := io.ReadAll(decoded)
		if err != nil {
			return piece{}, fmt.Errorf("decode part: %w", err)
		}
		p := it.inMemory(data)
		p.eight = bytes.IndexByte(p.data, 0) >= 0
		return p, nil
	}
	seen := &octets{it: it}
	if _, err := io.Copy(seen, decoded); err != nil {
		return piece{}, fmt.Errorf("decode part: %w", err)
	}
	from, n := it.cut(seen.n)
	return piece{size: n, eight: seen.nul, stream: func() io.Reader {
		decoded, _ := open()
		return &skipping{r: decoded, skip: from}
	}}, nil
}

// octets counts what is written to it, and notes a NUL where an item asks for
// it.
type octets struct {
	it  *fetchItem
	n   int64
	nul bool
}

func (o *octets) Write(p []byte) (int, error) {
	if !o.nul {
		for rest, at := p, o.n; ; {
			i := bytes.IndexByte(rest, 0)
			if i < 0 {
				break
			}
			at += int64(i)
			if !o.it.partial || at >= o.it.origin && at-o.it.origin < o.it.count {
				o.nul = true
				break
			}
			rest, at = rest[i+1:], at+1
		}
	}
	o.n += int64(len(p))
	return len(p), nil
}
