package mime

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// multipart cuts a multipart body into its parts (RFC 2046, 5.1.1) as it is
// read. It asks nothing of the parts: one with a broken header is still a part.
// A body that ends without its last delimiter ends its last part.
type multipart struct {
	br    *bufio.Reader
	delim []byte // "--" and the boundary

	out  []byte // of the current part, to be read
	held []byte // the end of a line, which belongs to the delimiter if one follows
	long bool   // the last line was longer than the buffer: what comes is no new line
	open bool   // in a part, or in the preamble
	done bool   // the last delimiter, or the end of the bytes, has been read
}

func newMultipart(r io.Reader, boundary string) *multipart {
	if boundary == "" {
		boundary = "\n\n" // which no line has: a bare "--" separates signatures
	}
	return &multipart{br: bufio.NewReaderSize(r, 16<<10), delim: []byte("--" + boundary), open: true}
}

// next goes to the next part and reports whether there is one. What is left of
// the part before it, or of the preamble, is passed over.
func (m *multipart) next() bool {
	// A reader that fails ends the body; who owns the reader knows why.
	_, _ = io.Copy(io.Discard, m)
	m.open = !m.done
	return m.open
}

// maxCandidates bounds how many lines guessBoundary compares.
const maxCandidates = 10_000

// guessBoundary gives the first line that could be a delimiter and comes again,
// be it as the closing one.
func guessBoundary(body []byte) string {
	first := map[string]int{} // by line: its place among the candidates
	found, at := "", maxCandidates
	for rest := body; len(rest) > 0 && len(first) < maxCandidates; {
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte("\n"))
		line = bytes.TrimRight(line, " \t\r")
		if len(line) <= 6 || !bytes.HasPrefix(line, []byte("--")) {
			continue
		}
		for _, name := range [][]byte{line, bytes.TrimSuffix(line, []byte("--"))} {
			if i, ok := first[string(name)]; ok && i < at {
				found, at = string(name[2:]), i
			}
		}
		if _, ok := first[string(line)]; !ok {
			first[string(line)] = len(first)
		}
	}
	return found
}

// Read reads the current part.
func (m *multipart) Read(p []byte) (int, error) {
	for len(m.out) == 0 {
		if !m.open {
			return 0, io.EOF
		}
		if err := m.line(); err != nil {
			m.open, m.done = false, true
			m.out, m.held = append(m.out, m.held...), nil
			if !errors.Is(err, io.EOF) {
				return 0, err
			}
		}
	}
	n := copy(p, m.out)
	m.out = m.out[n:]
	return n, nil
}

// line reads one line, or as much of a long one as the buffer holds.
func (m *multipart) line() error {
	line, err := m.br.ReadSlice('\n')
	first := !m.long
	if m.long = errors.Is(err, bufio.ErrBufferFull); m.long {
		err = nil
	}
	if rest, ok := bytes.CutPrefix(line, m.delim); ok && first {
		// White space after a boundary is padding.
		if rest = bytes.TrimRight(rest, " \t\r\n"); len(rest) == 0 || string(rest) == "--" {
			m.open, m.done, m.held = false, len(rest) > 0 || err != nil, nil
			return nil
		}
	}
	text := bytes.TrimSuffix(line, []byte("\n"))
	if len(text) < len(line) {
		text = bytes.TrimSuffix(text, []byte("\r"))
	}
	m.out = append(append(m.out[:0], m.held...), text...)
	m.held = append(m.held[:0], line[len(text):]...)
	return err
}
