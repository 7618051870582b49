/*-------------------------------------------------------------------------
 *
 * src/request_item.c
 *		The clusters of a request.  See request_item.h.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "request_item.h"

int
pa_request_item_compare_texts(const text *one, const text *other)
{
	int			one_length = VARSIZE_ANY_EXHDR(one);
	int			other_length = VARSIZE_ANY_EXHDR(other);
	int			result = memcmp(VARDATA_ANY(one), VARDATA_ANY(other),
								Min(one_length, other_length));

	return result != 0 ? result : one_length - other_length;
}

PaRequestItem *
pa_request_item_of_row(const PaRow *row, int column, PaRequestItem **sorted,
					   int count)
{
	bool		isnull;
	text	   *cluster_id = DatumGetTextPP(pa_row_value(row, column,
														  &isnull));
	int			low = 0;
	int			high = count - 1;

	while (low <= high)
	{
		int			middle = low + (high - low) / 2;
		int			order;

		order = pa_request_item_compare_texts(cluster_id,
											sorted[middle]->cluster_id);
		if (order == 0)
			return sorted[middle];
		if (order < 0)
			high = middle - 1;
		else
			low = middle + 1;
	}
	elog(ERROR, "cluster was not asked for");
}

Datum
pa_request_item_ids(PaRequestItem **items, int count)
{
	Datum	   *values = palloc(sizeof(Datum) * Max(count, 1));

	for (int i = 0; i < count; i++)
		values[i] = PointerGetDatum(items[i]->cluster_id);
	return pa_array(values, NULL, count, TEXTOID);
}
