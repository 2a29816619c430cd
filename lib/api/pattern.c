/*
 * Regular expressions of the schemas; the only user of PCRE2 below the programs. The patterns are
 * ours, only the texts come from outside; their length is bounded before they get here.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <assert.h>
#include <pcre2.h>

#include "lib/api/check.h"

bool pattern_matches(const char *pattern, const char *text)
{
	int error;
	PCRE2_SIZE at;
	pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
					 PCRE2_DOLLAR_ENDONLY, &error, &at, NULL);

	assert(code);
	pcre2_match_data *match = pcre2_match_data_create_from_pattern(code, NULL);

	assert(match);
	int n = pcre2_match(code, (PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, 0, 0, match, NULL);

	pcre2_match_data_free(match);
	pcre2_code_free(code);
	return n > 0;
}
