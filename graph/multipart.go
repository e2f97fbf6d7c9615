package graph

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"mime/multipart"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/99designs/gqlgen/graphql"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// maxInMemory is how much of an uploaded file is kept in memory; a larger one
// lies in a temporary file whose name is gone at once.
const maxInMemory = 1 << 20

// multipartParams reads the GraphQL multipart request specification: the parts
// `operations`, `map`, then the files.
func (s *Server) multipartParams(r *http.Request, params *graphql.RawParams) (cleanUp func(), err error) {
	var files []io.Closer
	cleanUp = func() {
		for _, f := range files {
			_ = f.Close()
		}
	}
	mr, err := r.MultipartReader()
	if err != nil {
		return cleanUp, invalid("the body is no multipart form")
	}
	if err := s.jsonPart(mr, "operations", params); err != nil {
		return cleanUp, err
	}
	places := map[string][]string{}
	if err := s.jsonPart(mr, "map", &places); err != nil {
		return cleanUp, err
	}
	for {
		part, err := mr.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return cleanUp, partError(err)
		}
		paths := places[part.FormName()]
		if len(paths) != 1 {
			return cleanUp, invalid("the map names no single place for the file %q", part.FormName())
		}
		delete(places, part.FormName())
		file, size, err := spool(part)
		if err != nil {
			return cleanUp, partError(err)
		}
		files = append(files, file)
		upload := graphql.Upload{File: file, Filename: part.FileName(), Size: size, ContentType: part.Header.Get("Content-Type")}
		if !place(params.Variables, strings.TrimPrefix(paths[0], "variables."), upload) {
			return cleanUp, invalid("the operation has no place %q", paths[0])
		}
	}
	for name := range places {
		return cleanUp, invalid("the file %q is missing", name)
	}
	return cleanUp, nil
}

func (s *Server) jsonPart(mr *multipart.Reader, name string, into any) error {
	part, err := mr.NextPart()
	if err != nil {
		return partError(err)
	}
	if part.FormName() != name {
		return invalid("the parts of a multipart request are operations, map, and the files, in this order")
	}
	b, err := io.ReadAll(io.LimitReader(part, s.opts.MaxBody+1))
	if err != nil {
		return partError(err)
	}
	if int64(len(b)) > s.opts.MaxBody {
		return errTooLarge(s.opts.MaxBody)
	}
	if name == "map" {
		if json.Unmarshal(b, into) != nil {
			return invalid("the part map is not a JSON object of lists")
		}
		return nil
	}
	return decodeJSON(bytes.NewReader(b), into)
}

func partError(err error) error {
	var disk *fs.PathError
	if errors.As(err, &disk) {
		return err // our trouble, not the form's
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return mail.Errorf(mail.KindTooLarge, "", "the request is larger than %d bytes", tooLarge.Limit)
	}
	return invalid("the multipart form is broken")
}

type spooled interface {
	io.ReadSeeker
	io.Closer
}

type inMemory struct{ *bytes.Reader }

func (inMemory) Close() error { return nil }

func spool(r io.Reader) (spooled, int64, error) {
	var b bytes.Buffer
	n, err := io.CopyN(&b, r, maxInMemory)
	if errors.Is(err, io.EOF) {
		return inMemory{bytes.NewReader(b.Bytes())}, n, nil
	}
	if err != nil {
		return nil, 0, err
	}
	f, err := os.CreateTemp("", "postern-upload-")
	if err != nil {
		return nil, 0, err
	}
	// Nobody else shall read it, and a crash shall leave nothing.
	_ = os.Remove(f.Name())
	size, err := io.Copy(f, io.MultiReader(&b, r))
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		_ = f.Close()
		return nil, 0, err
	}
	return f, size, nil
}

// place sets a value at a path such as input.attachments.0.content, where there
// must be null.
func place(vars map[string]any, path string, value any) bool {
	names := strings.Split(path, ".")
	var at any = vars
	for i, name := range names {
		last := i == len(names)-1
		switch v := at.(type) {
		case map[string]any:
			old, ok := v[name]
			if last && ok && old == nil {
				v[name] = value
				return true
			}
			at = old
		case []any:
			n, err := strconv.Atoi(name)
			if err != nil || n < 0 || n >= len(v) {
				return false
			}
			if last && v[n] == nil {
				v[n] = value
				return true
			}
			at = v[n]
		default:
			return false
		}
	}
	return false
}
