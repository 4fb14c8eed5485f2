<?php

return ['driver' => 'array', 'cookie' => 'peer'];
