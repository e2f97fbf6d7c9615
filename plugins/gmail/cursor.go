package gmail

import (
	"encoding/json"
	"errors"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// cursor is a place in what Changes tells. First everything is listed, page by
// page, while History stays what the profile said before the first page; then
// the history since that is told, page by page as well.
type cursor struct {
	Version int `json:"v"`
	// Listing is set until the listing has ended.
	Listing bool `json:"list,omitempty"`
	// History is the id from which on changes are to be told.
	History uint64 `json:"h,string"`
	// End is what the history's first page said of its end, which is where the
	// next one begins: what changes from page to page is told once more rather
	// than never, should the pages be of the moment of the first.
	End uint64 `json:"end,omitempty,string"`
	// Page is the token of the next page, of the listing or of the history.
	Page string `json:"page,omitempty"`
}

const (
	cursorVersion = 1
	// maxCursor is far longer than any cursor that we make.
	maxCursor = 8 << 10
)

func (c cursor) encode() mail.Cursor {
	data, _ := json.Marshal(c) // strings and numbers: cannot fail
	return data
}

func parseCursor(data mail.Cursor) (cursor, error) {
	var c cursor
	if len(data) > maxCursor {
		return c, errors.New("the cursor is too long")
	}
	if err := json.Unmarshal(data, &c); err != nil || c.Version != cursorVersion || c.History == 0 {
		return c, errors.New("the cursor cannot be read")
	}
	return c, nil
}
