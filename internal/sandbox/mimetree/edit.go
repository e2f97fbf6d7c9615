package mimetree

// EditFields copies a message with each field of its header as edit returns it:
// name is the field's, whole its bytes with folds and line end. What is no
// field and the body stay as they are.
func EditFields(raw []byte, edit func(name string, whole []byte) []byte) []byte {
	out := make([]byte, 0, len(raw)+256)
	var field []byte
	name, named := "", false
	flush := func() {
		if named {
			field = edit(name, field)
		}
		out = append(out, field...)
		field = nil
	}
	for rest := raw; len(rest) > 0; {
		line, next := CutLine(rest)
		whole := rest[:len(rest)-len(next)]
		if len(line) == 0 {
			flush()
			return append(out, rest...)
		}
		if line[0] != ' ' && line[0] != '\t' {
			flush()
			name, _, named = CutField(line)
			field = whole[:len(whole):len(whole)]
		} else {
			field = append(field, whole...)
		}
		rest = next
	}
	flush()
	return out
}

// DropFields copies a message without the fields that drop names.
func DropFields(raw []byte, drop func(name string) bool) []byte {
	return EditFields(raw, func(name string, whole []byte) []byte {
		if drop(name) {
			return nil
		}
		return whole
	})
}
