package agent

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode/utf8"
)

func parsePattern(text string) (*regexp.Regexp, *fault) {
	re, err := regexp.Compile(text)
	if err == nil {
		return re, nil
	}
	why := ""
	var mistake *syntax.Error
	if errors.As(err, &mistake) {
		why = fmt.Sprintf(" (%s, at character %d)", mistake.Code, 1+utf8.RuneCountInString(text[:mistakeAt(text, mistake)]))
	}
	return nil, &fault{"is not an RE2 pattern" + why, "use one such as ^(sda|nvme.*)$"}
}

// mistakeAt returns the offset of a mistake. The library names only the part of
// the pattern that it disliked, which may be there more than once, or the whole
// pattern; so this looks for where the same mistake begins to show.
func mistakeAt(text string, mistake *syntax.Error) int {
	switch mistake.Code {
	case syntax.ErrTrailingBackslash:
		return len(text) - 1
	case syntax.ErrMissingBracket:
		return max(0, strings.LastIndex(text, mistake.Expr))
	case syntax.ErrMissingParen:
		for at := strings.LastIndexByte(text, '('); at > 0; at = strings.LastIndexByte(text[:at], '(') {
			before := mistakeIn(text[:at])
			if mistakeIn(text[at:]) == mistake.Code && (before == "" || before == mistake.Code) {
				return at
			}
		}
		return max(0, strings.IndexByte(text, '('))
	case syntax.ErrUnexpectedParen:
		for at := range len(text) {
			if text[at] == ')' && mistakeIn(text[:at+1]) == mistake.Code {
				return at
			}
		}
	default:
		for at := range len(text) {
			if end := at + len(mistake.Expr); strings.HasPrefix(text[at:], mistake.Expr) && mistakeIn(text[:end]) == mistake.Code {
				return at
			}
		}
	}
	return 0
}

// mistakeIn returns what is wrong with a pattern; "" if it is right.
func mistakeIn(text string) syntax.ErrorCode {
	_, err := syntax.Parse(text, syntax.Perl)
	if mistake := (*syntax.Error)(nil); errors.As(err, &mistake) {
		return mistake.Code
	}
	return ""
}
