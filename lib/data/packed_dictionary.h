#pragma once

#define PACKED_DICTIONARY_SIZE 2517
extern const unsigned char packed_dictionary[PACKED_DICTIONARY_SIZE];
